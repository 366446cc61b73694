//! A training run from an experiment file to its end: what `repghost-det train` does.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use serde::Serialize;

use crate::checkpoint;
use crate::classification::ClassificationTask;
use crate::config::{Loaded, Task as Learned};
use crate::detection::DetectionTask;
use crate::environment::Environment;
use crate::error::TrainError;
use crate::run::folder::write_json;
use crate::run::RunFolder;
use crate::runtime;
use crate::trainer::{End, ImageTask, Start, Trainer};

/// What the command line adds to an experiment.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The run folder that the user named.
    pub run_dir: Option<PathBuf>,
    /// Go on with the run in the folder.
    pub resume: bool,
    /// Print warnings and errors only.
    pub quiet: bool,
}

/// How a run ended, and where its results are.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Its folder.
    pub folder: RunFolder,
    /// Best metric and its step.
    pub best: Option<checkpoint::Best>,
}

/// Trains. `say` is told lines for people before the progress display starts.
///
/// # Errors
/// Bad input (see [`TrainError::exit_code`]) and failed runs.
pub fn train(
    loaded: &Loaded,
    options: &Options,
    stop: Arc<AtomicBool>,
    mut say: impl FnMut(&str),
) -> Result<Outcome, TrainError> {
    runtime::set_threads(loaded.experiment.train.threads);
    // Everything that may be wrong is looked at before a folder is made.
    match loaded.experiment.task {
        Learned::Detection => run(DetectionTask::new(loaded)?, loaded, options, stop, &mut say),
        Learned::Classification => run(ClassificationTask::new(loaded)?, loaded, options, stop, &mut say),
    }
}

fn run(
    task: impl ImageTask,
    loaded: &Loaded,
    options: &Options,
    stop: Arc<AtomicBool>,
    say: &mut dyn FnMut(&str),
) -> Result<Outcome, TrainError> {
    let folder = folder(loaded, options)?;
    say(&format!("run folder: {}", folder.root().display()));
    task.notes().iter().for_each(|note| say(note));
    let resolved = loaded.to_yaml(false);
    let resume = if options.resume {
        let newest = checkpoint::folder::newest(&folder.checkpoints(), |warning| say(&format!("warning: {warning}")))?;
        if newest.is_none() {
            say("no checkpoint there yet: starting from the beginning");
        }
        newest
    } else {
        None
    };
    loaded.write(&folder.config())?;
    write_environment(&folder)?;
    let config_hash = checkpoint::config_hash(&resolved);
    let start = Start { folder: folder.clone(), config_hash, resume, stop, quiet: options.quiet };
    let mut trainer = Trainer::new(task, &loaded.experiment.train, start)?;
    let end = trainer.train()?;
    Ok(Outcome { end, folder, best: trainer.run.progress.best })
}

fn folder(loaded: &Loaded, options: &Options) -> Result<RunFolder, TrainError> {
    let path = loaded.run_dir(options.run_dir.as_deref())?;
    match (options.resume, options.run_dir.is_some()) {
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
