//! A training run from an experiment to its end.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use repghost_distributed::Group;
use serde::Serialize;

use crate::auto_batch;
use crate::cards;
use crate::checkpoint::{self, Checkpoint};
use crate::classification::ClassificationTask;
use crate::config::{diff, InitConfig, Loaded, Task as Learned};
use crate::detection::DetectionTask;
use crate::environment::Environment;
use crate::error::TrainError;
use crate::run::folder::write_json;
use crate::run::{RunFolder, RunLock};
use crate::runtime;
use crate::together::{from_first, Together};
use crate::trainer::{Hook, ImageTask, RunOutcome, Trainer, TrainerOptions};

/// What a run needs besides its experiment.
#[derive(Clone, Debug, Default)]
pub struct TrainOptions {
    /// The run folder. Without it `run.dir`, or `runs/` and the experiment file's name, numbered where that is taken.
    pub run_dir: Option<PathBuf>,
    /// Continue the run in the folder from its newest good checkpoint.
    pub resume: bool,
    /// Print warnings and errors only.
    pub quiet: bool,
    /// Raised to stop the run: it finishes its step and writes a checkpoint.
    pub stop: Arc<AtomicBool>,
    /// The processes that train together, where there are several.
    pub group: Option<Group>,
}

/// How a run ended, and where its results are.
#[derive(Clone, Debug)]
pub struct TrainOutcome {
    /// How it ended.
    pub end: RunOutcome,
    /// Its folder.
    pub folder: RunFolder,
    /// Best metric and its step.
    pub best: Option<checkpoint::Best>,
}

/// Trains what an experiment describes. `print` is called with lines for the user before the progress display starts.
///
/// # Errors
/// Data, settings and files that cannot be used; runs that fail.
pub fn train(loaded: &Loaded, options: &TrainOptions, mut print: impl FnMut(&str)) -> Result<TrainOutcome, TrainError> {
    runtime::set_threads(loaded.experiment.train.threads);
    let sized = match loaded.auto_batch {
        true => Some(with_batch_size(loaded, options, &mut print)?),
        false => None,
    };
    let loaded = sized.as_ref().unwrap_or(loaded);
    let together = options.together(loaded);
    let outcome = together.as_ref().map_or(Ok(()), |t| same_start(&t.group, loaded)).and_then(|()| {
        // Everything that may be wrong is looked at before a folder is made.
        match loaded.experiment.task {
            Learned::Detection => train_task(DetectionTask::among(loaded, together.as_ref())?, loaded, options, vec![], print),
            Learned::Classification => {
                train_task(ClassificationTask::among(loaded, together.as_ref())?, loaded, options, vec![], print)
            }
        }
    });
    if let (Err(error), Some(together)) = (&outcome, &together) {
        together.group.fail(&error.to_string());
    }
    outcome
}

/// Chooses `train.batch_size: auto`. A run that is resumed keeps its number; of several processes the first one measures.
fn with_batch_size(loaded: &Loaded, options: &TrainOptions, print: &mut impl FnMut(&str)) -> Result<Loaded, TrainError> {
    let measured = || {
        let before = match options.resume {
            true => folder(loaded, options).ok().and_then(|folder| Loaded::read(&folder.config(), &[]).ok()),
            false => None,
        };
        if let Some(before) = before {
            let images = before.experiment.train.batch_size;
            return Ok((images, format!("train.batch_size: auto is {images}, as the run began")));
        }
        let processes = options.group.as_ref().map_or(1, Group::size);
        auto_batch::chosen(loaded, processes).map(|(sized, line)| (sized.experiment.train.batch_size, line))
    };
    let (images, line) = match &options.group {
        None => measured()?,
        Some(group) => {
            let own = group.is_first().then(measured).transpose().inspect_err(|error| group.fail(&error.to_string()))?;
            from_first(group, own)?
        }
    };
    print(&line);
    Ok(loaded.with_batch_size(images)?)
}

impl TrainOptions {
    fn together(&self, loaded: &Loaded) -> Option<Together> {
        let group = self.group.clone()?;
        Some(Together::new(group, &loaded.experiment.train))
    }
}

/// Checks that all processes were started for the same run.
fn same_start(group: &Group, loaded: &Loaded) -> Result<(), TrainError> {
    let e = &loaded.experiment;
    group.agree("the version", env!("CARGO_PKG_VERSION"))?;
    group.agree("train.batch_size", &e.train.batch_size.to_string())?;
    group.agree("the experiment (its hash)", &checkpoint::config_hash(&loaded.to_yaml(false)))?;
    if e.train.batch_size < group.size() {
        let problem =
            format!("is {}, too small for {} processes; expected one image for each at least", e.train.batch_size, group.size());
        return Err(TrainError::setting("train.batch_size", problem));
    }
    Ok(())
}

/// Trains a task that is built already, with hooks of your own. `loaded` gives the `train` settings and is written into the run folder.
///
/// # Errors
/// As [`train`].
pub fn train_task<T: ImageTask>(
    task: T,
    loaded: &Loaded,
    options: &TrainOptions,
    hooks: Vec<Box<dyn Hook<T>>>,
    mut print: impl FnMut(&str),
) -> Result<TrainOutcome, TrainError> {
    let together = options.together(loaded);
    let wanted = loaded.experiment.train.distributed.engine;
    let engine = together.as_ref().map_or(Ok(None), |t| cards::choose(&t.group, wanted, task.network()))?;
    if let Some(together) = together.as_ref().filter(|t| !t.is_first()) {
        return train_beside(task, loaded, options, hooks, together.clone());
    }
    let folder = folder(loaded, options)?;
    let _lock = RunLock::acquire(folder.root())?;
    repghost_files::remove_temporary(folder.root()).map_err(TrainError::io(folder.root()))?;
    if let Some(Together { group, .. }) = &together {
        from_first(group, Some(folder.root().to_path_buf()))?;
        print(&format!("{} processes train together; train.batch_size is for all of them", group.size()));
        engine.iter().for_each(|line| print(line));
    }
    print(&format!("run folder: {}", folder.root().display()));
    task.notes().iter().for_each(|note| print(note));
    let config_hash = checkpoint::config_hash(&loaded.to_yaml(false));
    let resume = if options.resume { newest(&folder, loaded, &config_hash, &mut print)? } else { None };
    loaded.write(&folder.config())?;
    write_environment(&folder)?;
    let start = TrainerOptions {
        resume,
        config_hash,
        stop: options.stop.clone(),
        quiet: options.quiet,
        together: together.clone(),
        ..TrainerOptions::new(folder.clone())
    };
    if let Some(together) = &together {
        together.same_network(task.network(), start.resume.as_ref().map_or(0, |c| c.progress.step))?;
    }
    let trainer = Trainer::new(task, &loaded.experiment.train, start)?;
    if let Some(warning) = too_short(&loaded.experiment.init, trainer.run.plan.stop_at) {
        print(&format!("warning: {warning}"));
    }
    let mut trainer = hooks.into_iter().fold(trainer, Trainer::with_hook);
    let end = trainer.train()?;
    Ok(TrainOutcome { end, folder, best: trainer.run.progress.best })
}

/// Trains as one of several processes that is not the first: what it would write goes to a folder that is deleted.
fn train_beside<T: ImageTask>(
    task: T,
    loaded: &Loaded,
    options: &TrainOptions,
    hooks: Vec<Box<dyn Hook<T>>>,
    together: Together,
) -> Result<TrainOutcome, TrainError> {
    let root: PathBuf = from_first(&together.group, None)?;
    let folder = RunFolder::at(&root);
    let config_hash = checkpoint::config_hash(&loaded.to_yaml(false));
    let resume = if options.resume { checkpoint::folder::newest(&folder.checkpoints(), |_| ())? } else { None };
    let scratch = tempfile::tempdir().map_err(TrainError::io("a temporary folder"))?;
    let start = TrainerOptions {
        config_hash,
        records: options.resume.then(|| folder.metrics_log()),
        stop: options.stop.clone(),
        together: Some(together.clone()),
        resume,
        ..TrainerOptions::new(RunFolder::create(&scratch.path().join("run"))?)
    };
    together.same_network(task.network(), start.resume.as_ref().map_or(0, |c| c.progress.step))?;
    let trainer = Trainer::new(task, &loaded.experiment.train, start)?;
    let mut trainer = hooks.into_iter().fold(trainer, Trainer::with_hook);
    let end = trainer.train()?;
    Ok(TrainOutcome { end, folder, best: trainer.run.progress.best })
}

/// A warning where a run from random weights has too few steps to learn much.
fn too_short(init: &InitConfig, steps: u64) -> Option<String> {
    /// `experiments/small.yaml` takes about 1100 steps on 292 images.
    const FEW: u64 = 500;
    let from_scratch = init.backbone.is_none() && init.detector.is_none();
    (from_scratch && steps < FEW).then(|| {
        format!(
            "a run of {steps} optimizer steps from random weights is too short to learn much: raise train.epochs, lower train.batch_size, or start from trained \
             weights (init.detector, init.backbone)"
        )
    })
}

/// The checkpoint to resume from. Keys of the experiment that changed since it was written are printed.
fn newest(
    folder: &RunFolder,
    loaded: &Loaded,
    config_hash: &str,
    print: &mut impl FnMut(&str),
) -> Result<Option<Checkpoint>, TrainError> {
    let newest = checkpoint::folder::newest(&folder.checkpoints(), |warning| print(&format!("warning: {warning}")))?;
    match &newest {
        None => print("no checkpoint there yet: starting from the beginning"),
        Some(checkpoint) if checkpoint.progress.config_hash != config_hash => {
            print(&format!("the experiment differs from the checkpoint's{}", changed_keys(folder, loaded)));
        }
        Some(_) => {}
    }
    Ok(newest)
}

/// `: train.batch_size 4 -> 8, …`, by the run folder's experiment file; nothing where that cannot be read.
fn changed_keys(folder: &RunFolder, loaded: &Loaded) -> String {
    const SHOWN: usize = 6;
    let Ok(before) = Loaded::read(&folder.config(), &[]) else { return String::new() };
    let differences = diff::diff(&before.resolved, &loaded.resolved);
    let value = |side: &Option<(String, String)>| side.as_ref().map_or("default".to_string(), |(value, _)| value.clone());
    let mut keys: Vec<String> =
        differences.iter().take(SHOWN).map(|d| format!("{} {} -> {}", d.key, value(&d.left), value(&d.right))).collect();
    if differences.len() > SHOWN {
        keys.push(format!("and {} more", differences.len() - SHOWN));
    }
    if keys.is_empty() {
        return String::new();
    }
    format!(": {}", keys.join(", "))
}

/// A path for a new run whose folder the user did not name: free at the moment.
///
/// # Errors
/// The disk's.
pub fn new_folder(loaded: &Loaded) -> Result<PathBuf, TrainError> {
    RunFolder::free_numbered(&loaded.run_dir(None)?)
}

fn folder(loaded: &Loaded, options: &TrainOptions) -> Result<RunFolder, TrainError> {
    let path = loaded.run_dir(options.run_dir.as_deref())?;
    match (options.resume, options.run_dir.is_some()) {
        // A run that failed before its first step may have no folder yet.
        (true, true) if options.group.is_some() && !path.exists() => RunFolder::create(&path),
        (true, true) => RunFolder::open(&path),
        (true, false) => RunFolder::open_numbered(&path),
        (false, true) => RunFolder::create(&path),
        (false, false) => RunFolder::create_numbered(&path),
    }
}

#[derive(Serialize)]
struct Written<'a> {
    command: Vec<String>,
    directory: Option<PathBuf>,
    environment: &'a Environment,
}

fn write_environment(folder: &RunFolder) -> Result<(), TrainError> {
    let environment = Environment::collect();
    let command = std::env::args().collect();
    let written = Written { command, directory: std::env::current_dir().ok(), environment: &environment };
    write_json(&folder.environment(), &written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Experiment;

    #[test]
    fn a_short_run_from_random_weights_is_a_warning() {
        let mut init = Experiment::default().init;
        assert!(too_short(&init, 499).unwrap().contains("499 optimizer steps"));
        assert_eq!(too_short(&init, 500), None);
        init.backbone = Some(crate::config::PathTemplate::new("backbone.safetensors"));
        assert_eq!(too_short(&init, 10), None, "weights that were trained need less");
    }
}
