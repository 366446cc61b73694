//! `eval`: the COCO numbers of a detector, or of detections that are already in a file; the accuracy of a classifier.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use repghost_coco::{Detection, Evaluation, IouType};
use repghost_distributed::Group;
use repghost_export::runtime::Runtime;
use repghost_train::config::{Experiment, Loaded, Task};
use repghost_train::detection::data::{wants_masks, SplitData};
use repghost_train::evaluate::{detections_in, validation_data, Measured};
use repghost_train::WeightsFile;
use repghost_train::{chosen_thresholds, classification};

use crate::bad_input::{bad_input, MarkBadInput};
use crate::commands::counter::Counter;
use crate::commands::device::DeviceArgs;
use crate::commands::eval_files;
use crate::commands::launch::{self, Joined, LaunchArgs};
use crate::commands::model_args;
use crate::commands::runtime::{self, Classes, RuntimeName};
use crate::exit::Outcome;
use crate::interrupt;
use crate::printable;
use crate::tables;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  a run, its best:    repghost-det eval runs/mine --output eval/
  other weights:      repghost-det eval runs/mine --weights runs/mine/weights/last.safetensors --output eval/
  on other data:      repghost-det eval runs/mine --weights W data.val.images=DIR data.val.annotations=FILE
  of some classes:    repghost-det eval runs/mine --weights W 'data.classes=[person, dog]'
  an exported file:   repghost-det eval runs/mine --weights detector.onnx --baseline runs/mine/weights/best.safetensors
  a classifier:       repghost-det eval experiments/imagenet/repghostnet_1.0x.yaml --weights repghostnet_100.safetensors
  boxes:              repghost-det eval --annotations instances_val.json --detections detections.json
  masks:              repghost-det eval --annotations instances_val.json --detections detections.json --iou-type segm
  both, as a file:    repghost-det eval --annotations instances_val.json --detections detections.json --iou-type bbox,segm --output eval/
  where it is wrong:  repghost-det eval runs/mine --diagnose --output eval/
  two processes:      repghost-det eval runs/mine --nproc 2
  which threshold:    repghost-det eval runs/mine --choose f1 --per-class
  some classes only:  repghost-det eval --annotations instances_val.json --detections detections.json --classes person,dog

The numbers are those of pycocotools to the ninth digit; a dash (-1 in metrics.json) stands where there is nothing to measure.";

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file, or a run folder, and `key=value` overrides: a network is measured on its validation data.
    #[arg(value_name = "CONFIG|KEY=VALUE", required_unless_present = "annotations", conflicts_with_all = ["annotations", "detections", "iou_type", "classes"])]
    items: Vec<String>,

    /// Weights of a detector or classifier (in any form), a checkpoint, or a raw or detector file that `export` wrote (FILE.onnx).
    /// Without it: the best of the run folder CONFIG.
    #[arg(long, value_name = "FILE", requires = "items")]
    weights: Option<PathBuf>,

    /// Runtime; by default libtorch, and onnxruntime for FILE.onnx. All but libtorch run the exported network.
    #[arg(long, value_parser = runtime::parser(), requires = "items")]
    runtime: Option<RuntimeName>,

    /// Weights to measure in libtorch too: the change of every number is printed.
    #[arg(long, value_name = "FILE", requires = "items")]
    baseline: Option<PathBuf>,

    /// The form without a network.
    #[command(flatten)]
    files: eval_files::Args,

    #[command(flatten)]
    device: DeviceArgs,

    #[command(flatten)]
    launch: LaunchArgs,
}

impl Args {
    /// Whether a network is to be measured, not a file of detections.
    pub fn has_network(&self) -> bool {
        !self.items.is_empty()
    }
}

/// Runs `eval`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    if !args.has_network() {
        return compare_files(&args);
    }
    let weights = match &args.weights {
        Some(weights) => weights.clone(),
        None => model_args::best_of(&args.items)?,
    };
    measure(&args, &weights, quiet)
}

/// Measures detections that are already in a file.
pub fn compare_files(args: &Args) -> anyhow::Result<Outcome> {
    if args.device.is_set() {
        return Err(bad_input("--device is for networks: it needs an experiment file or a run folder"));
    }
    if args.launch.nproc.is_some() {
        return Err(bad_input("--nproc is for networks: it needs an experiment file or a run folder"));
    }
    let text = eval_files::run(&args.files, &mut |text| tracing::warn!("{text}")).bad_input()?;
    printable::print(&text)?;
    Ok(Outcome::Done)
}

/// Runs a detector over the validation data of an experiment.
fn measure(args: &Args, weights: &Path, quiet: bool) -> anyhow::Result<Outcome> {
    let loaded = model_args::experiment(&args.device.added_to(&args.items))?;
    let group = match launch::join(&args.launch, loaded.experiment.train.distributed.timeout_s)? {
        Joined::Ended(outcome) => return Ok(outcome),
        Joined::Here(group) => group,
    };
    let quiet = quiet || group.as_ref().is_some_and(|group| !group.is_first());
    launch::part(group.as_ref(), || measure_part(args, weights, &loaded, group.as_ref(), quiet))
}

/// A process's part of [`measure`]: detections in its images; the first one measures and writes.
fn measure_part(args: &Args, weights: &Path, loaded: &Loaded, group: Option<&Group>, quiet: bool) -> anyhow::Result<Outcome> {
    if loaded.experiment.task == Task::Classification {
        if args.runtime.is_some() {
            return Err(bad_input("--runtime is for detectors; a classifier runs on libtorch here"));
        }
        if args.files.diagnose || args.files.choose.is_some() || args.files.thresholds.is_some() {
            return Err(bad_input(
                "--diagnose, --choose and --thresholds are for detectors; a classifier's confusion is in its metrics.json",
            ));
        }
        return measure_classifier(args, &loaded.experiment, weights, group, Counter::new("evaluating", quiet));
    }
    let provider = runtime::choose(args.runtime, weights)?;
    let stop = interrupt::flag("stopping");
    let first = group.is_none_or(Group::is_first);
    let run = |weights: &Path, provider: Option<&'static Runtime>| -> anyhow::Result<Option<(Vec<Detection>, SplitData)>> {
        let mut shown = Counter::new("evaluating", quiet);
        let mut progress = |done, total| shown.update(done, total);
        let e = &loaded.experiment;
        let pool = runtime::open(e, weights, provider, Classes::OfValidationData)?;
        let val = validation_data(e, pool.classes(), group)?;
        for note in val.notes.iter().filter(|_| first) {
            tracing::warn!("{}", note.trim_start_matches("warning: "));
        }
        let found = detections_in(e, pool.as_ref(), &val, group, &stop, &mut progress)?;
        shown.clear();
        Ok(found.map(|found| (found, val)))
    };
    let measured =
        |(found, val): (Vec<Detection>, SplitData)| Measured::new(&val.dataset, found, wants_masks(&loaded.experiment));
    let Some(found) = run(weights, provider)? else { return Ok(Outcome::Interrupted) };
    let mut before = None;
    if let Some(baseline) = &args.baseline {
        let Some(found) = run(baseline, None)? else { return Ok(Outcome::Interrupted) };
        before = Some((baseline, found));
    }
    if !first {
        return Ok(Outcome::Done);
    }
    let measured_now = measured(found)?;
    let before = before.map(|(baseline, found)| measured(found).map(|m| (baseline, m))).transpose()?;
    let measured = measured_now;
    if measured.headline().is_nan() {
        tracing::warn!("nothing is measured: the validation data has no object of these classes");
    }
    let mut text = String::new();
    for evaluation in measured.evaluations.iter().filter(|_| !args.files.summary) {
        text.push_str(&tables::classes(evaluation));
        text.push('\n');
    }
    text.push_str(&tables::numbers(&measured.evaluations));
    let mut compared = None;
    if let Some((baseline, before)) = &before {
        text.push_str(&format!("\nchange against {} in libtorch\n", baseline.display()));
        text.push_str(&changes(&measured.evaluations, &before.evaluations));
        let comparison = measured.compared_with(before)?;
        text.push_str(&format!("\n{}", comparison.text(BASELINE, "this")));
        compared = Some(comparison);
    }
    let types: Vec<IouType> = measured.evaluations.iter().map(|e| e.iou_type).collect();
    let warn = &mut |text: String| tracing::warn!("{text}");
    let mut judged = args.files.judge(&measured.truth, &measured.detections, &types, warn).bad_input()?;
    text.push_str(&judged.text);
    if let Some(comparison) = &compared {
        judged.further.push(("comparison", serde_json::to_value(comparison)?));
    }
    if let Some(thresholds) = &mut judged.thresholds {
        thresholds.weights = weights.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for path in thresholds_files(weights, args.files.output.as_deref()) {
            thresholds.write(&path).map_err(repghost_train::TrainError::io(&path))?;
            text.push_str(&format!("wrote {}\n", path.display()));
        }
    }
    if let Some(folder) = &args.files.output {
        measured.write_with(folder, &judged.further)?;
        measured.plot(folder)?;
    }
    printable::print(&text)?;
    Ok(Outcome::Done)
}

/// The other side of a comparison, in its text.
const BASELINE: &str = "the baseline";

/// Where chosen thresholds go: beside the weights' run folder, and into the output folder.
fn thresholds_files(weights: &Path, output: Option<&Path>) -> Vec<PathBuf> {
    let of_run = chosen_thresholds::file_of(weights);
    let of_output = output.map(|folder| folder.join(chosen_thresholds::FILE));
    of_run.into_iter().chain(of_output).collect()
}

/// What became of each number, one line an evaluation.
fn changes(after: &[Evaluation], before: &[Evaluation]) -> String {
    let mut text = String::new();
    for (a, b) in after.iter().zip(before) {
        let pairs = a.numbers.named().into_iter().zip(b.numbers.named());
        let change = |a: f64, b: f64| if a < 0.0 || b < 0.0 { format!("{:>8}", "-") } else { format!("{:>+8.4}", a - b) };
        let values: String = pairs.map(|((_, a), (_, b))| change(a, b)).collect();
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:<6}{values}", a.iou_type.name());
    }
    text
}

/// Runs a classifier over the validation folder of an experiment.
fn measure_classifier(
    args: &Args,
    e: &Experiment,
    weights: &Path,
    group: Option<&Group>,
    mut shown: Counter,
) -> anyhow::Result<Outcome> {
    let stop = interrupt::flag("stopping");
    let weights = WeightsFile::read(weights)?;
    let measured =
        classification::evaluate::evaluate_weights(e, weights, group, &stop, &mut |done, total| shown.update(done, total))?;
    shown.clear();
    let Some(accuracy) = measured else { return Ok(Outcome::Interrupted) };
    if group.is_some_and(|group| !group.is_first()) {
        return Ok(Outcome::Done);
    }
    let mut text = String::new();
    if !args.files.summary {
        text = accuracy.class_table() + "\n";
    }
    text.push_str(&accuracy.summary());
    text.push('\n');
    if let Some(folder) = &args.files.output {
        accuracy.write(folder)?;
    }
    printable::print(&text)?;
    Ok(Outcome::Done)
}
