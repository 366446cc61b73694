//! `bench` of detectors: run folders, weights and exported files, end to end and the network alone.

use std::path::{Path, PathBuf};

use repghost_export::bench::detectors::{is_exported, measure, Subject, Timing, LIBTORCH};
use repghost_export::bench::plan::Form;
use repghost_export::bench::{detector_report, measure::installed};
use repghost_export::metadata::{self, Metadata};
use repghost_export::onnx::ElementType;
use repghost_export::runtime::list::{by_name, of_files};
use repghost_export::runtime::Runtime;
use repghost_train::config::data_paths::Split;
use repghost_train::config::Task;
use repghost_train::detection::data;
use repghost_train::evaluate::{evaluate_detector, validation_data};
use repghost_train::images::{FoundImages, ImageFiles};
use repghost_train::model::read_experiment;
use repghost_train::run::RunFolder;
use repghost_train::{Experiment, WeightsFile};

use super::bench_args::Args;
use crate::bad_input::{bad_input, MarkBadInput};
use crate::commands::counter::Counter;
use crate::commands::model_args::is_override;
use crate::exit::Outcome;
use crate::interrupt;
use crate::printable;

/// A detector as it was named.
struct Named {
    name: String,
    experiment: Experiment,
    weights: PathBuf,
}

/// True where the arguments name detectors, not a plan.
pub fn are_detectors(items: &[String]) -> bool {
    let is_detector = |path: &Path| path.is_dir() || path.extension().is_some_and(|x| x != "yaml" && x != "yml");
    items.iter().any(|item| !is_override(item) && is_detector(Path::new(item)))
}

/// Runs `bench` of detectors.
pub fn run(args: &Args, quiet: bool) -> anyhow::Result<Outcome> {
    let (overrides, paths): (Vec<String>, Vec<String>) =
        args.device.added_to(&args.items).into_iter().partition(|item| is_override(item));
    let named = paths.iter().map(|path| detector(Path::new(path), &overrides)).collect::<anyhow::Result<Vec<_>>>()?;
    let Some(first) = named.first() else { return Err(bad_input("no detector is named")) };
    let wanted: Vec<&'static Runtime> = match args.runtime.is_empty() {
        true => by_name(LIBTORCH).into_iter().chain(of_files()).collect(),
        false => args.runtimes(),
    };
    let (runtimes, mut notes) = installed(&wanted);
    let mut subjects = Vec::new();
    for detector in &named {
        for (runtime, precision, form) in variants(args, detector, &runtimes) {
            match Subject::open(&detector.name, &detector.experiment, &detector.weights, runtime, precision, form) {
                Ok(subject) => subjects.push(subject),
                Err(e) if args.matrix => notes.push(format!("{} in {}: left out: {e}", detector.name, runtime.name)),
                Err(e) => return Err(e.into()),
            }
        }
    }
    if subjects.is_empty() {
        return Err(bad_input("there is nothing to time: no runtime that is installed takes these files"));
    }
    let threads = args.threads.first().copied().unwrap_or(1).max(1);
    let (runs, rounds) = (args.runs.unwrap_or(20).max(1), args.rounds.unwrap_or(3).max(1));
    let timing = Timing { runs, rounds, warm_up: 2, threads };
    let source: Box<dyn repghost_coco::Source> = match &args.images {
        Some(folder) => {
            let found = FoundImages::find(std::slice::from_ref(folder), false)?;
            Box::new(ImageFiles::new(found.paths, first.experiment.data.decode()))
        }
        None => Box::new(Shared(data::open(&first.experiment, Split::Val, None)?.source)),
    };
    let stop = interrupt::flag("stopping");
    let mut shown = Counter::new("timing", quiet);
    let rows = measure(&subjects, source.as_ref(), timing, &stop, &mut |done, total| shown.update(done, total))?;
    shown.clear();
    let Some(mut rows) = rows else { return Ok(Outcome::Interrupted) };
    if args.matrix {
        for (subject, row) in subjects.iter().zip(&mut rows) {
            let detector = named.iter().find(|d| d.name == subject.name).unwrap_or(first);
            let mut shown = Counter::new("evaluating", quiet);
            let val = validation_data(&detector.experiment, subject.pool().classes(), None)?;
            let mut progress = |done, total| shown.update(done, total);
            let measured = evaluate_detector(&detector.experiment, subject.pool(), &val, &stop, &mut progress)?;
            shown.clear();
            let Some(measured) = measured else { return Ok(Outcome::Interrupted) };
            row.ap = Some(measured.headline());
        }
    }
    detector_report::write(&rows, threads, &notes, &args.output)?;
    printable::print(&detector_report::markdown(&rows, threads, &notes))?;
    Ok(Outcome::Done)
}

/// The built-in or COCO samples of an experiment, for reading.
struct Shared(std::sync::Arc<dyn repghost_coco::Source>);

impl repghost_coco::Source for Shared {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn aspect(&self, index: usize) -> f64 {
        self.0.aspect(index)
    }

    fn load(&self, index: usize) -> Result<repghost_coco::Sample, repghost_coco::DataError> {
        self.0.load(index)
    }
}

/// What is timed of a detector: each runtime, with `--matrix` in each precision and form.
fn variants(args: &Args, detector: &Named, runtimes: &[&'static Runtime]) -> Vec<(&'static Runtime, ElementType, Form)> {
    let exported = is_exported(&detector.weights);
    let mut all = Vec::new();
    for &runtime in runtimes {
        let libtorch = runtime.name == LIBTORCH;
        match (exported, args.matrix) {
            (true, _) if libtorch => {}
            (true, _) | (false, false) => all.push((runtime, ElementType::F32, Form::Fused)),
            (false, true) => {
                let precisions: &[ElementType] =
                    if libtorch { &[ElementType::F32] } else { &[ElementType::F32, ElementType::F16] };
                all.extend(Form::ALL.iter().flat_map(|form| precisions.iter().map(move |p| (runtime, *p, *form))));
            }
        }
    }
    all
}

fn detector(path: &Path, overrides: &[String]) -> anyhow::Result<Named> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (experiment, weights) = if path.is_dir() {
        let loaded = read_experiment(path, overrides)?;
        let folder = RunFolder::at(path);
        let found = ["best", "last"].map(|name| folder.weights_file(name)).into_iter().find(|file| file.is_file());
        let weights = found.ok_or_else(|| bad_input(format!("{}: holds no weights yet", folder.weights().display())))?;
        (loaded.experiment, weights)
    } else if is_exported(path) {
        let recorded = Metadata::of(&metadata::decode(path, &metadata::read(path)?)?);
        let text = recorded.experiment_text().map_err(|e| bad_input(format!("{}: {e}", path.display())))?;
        (repghost_train::Loaded::parse(text, path, overrides).bad_input()?.experiment, path.to_owned())
    } else {
        (WeightsFile::read(path)?.experiment(overrides)?.experiment, path.to_owned())
    };
    if experiment.task != Task::Detection {
        return Err(bad_input(format!("{}: is no detector; --model NAME times classifiers", path.display())));
    }
    Ok(Named { name, experiment, weights })
}
