//! Where a sweep keeps what. Every trial has files of its own, so that the folders of several machines merge by copying them together.
//!
//! ```text
//! DIR/experiments/ID.yaml   the trial's resolved experiment
//! DIR/trials/ID/            its run folder
//! DIR/states/ID.json        how far it is
//! DIR/logs/ID.log           what it printed
//! DIR/table.md … .csv .json, *.png, *.svg
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::Trial;
use crate::config::diff::diff;
use crate::config::Loaded;
use crate::error::{RunFolderProblem, TrainError};
use crate::run::folder::write_json;
use crate::run::RunFolder;

/// How far a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A process trains it (or did, when the sweep was killed).
    Running,
    /// Stopped in good order before its end; it will go on from its last checkpoint.
    Interrupted,
    /// It ended well.
    Done,
    /// It ended with an error.
    Failed,
}

/// What is known of a trial besides its run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialState {
    /// How far it is.
    pub status: Status,
    /// Processes that were started for it.
    pub attempts: u32,
    /// Seconds that all of them took.
    pub seconds: f64,
    /// The process, while it runs.
    pub pid: Option<u32>,
    /// The machine it was started on.
    pub host: String,
    /// Why it failed.
    pub reason: Option<String>,
}

/// The folder of a sweep.
#[derive(Clone, Debug)]
pub struct SweepFolder {
    root: PathBuf,
}

impl SweepFolder {
    /// Name of the file with the sweep's results.
    pub const TABLE: &'static str = "table.json";

    /// The folder of a sweep that is only read.
    pub fn at(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Makes the folder, or opens the one that is there.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(root: &Path) -> Result<Self, TrainError> {
        for name in ["experiments", "trials", "states", "logs"] {
            let dir = root.join(name);
            std::fs::create_dir_all(&dir).map_err(TrainError::io(dir))?;
        }
        Ok(Self { root: root.into() })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The trial's experiment file.
    pub fn experiment(&self, id: &str) -> PathBuf {
        self.root.join("experiments").join(format!("{id}.yaml"))
    }

    /// The trial's run folder.
    pub fn run(&self, id: &str) -> PathBuf {
        self.root.join("trials").join(id)
    }

    /// The trial's run folder, to be read.
    pub fn run_folder(&self, id: &str) -> RunFolder {
        RunFolder::at(&self.run(id))
    }

    /// The trial's metrics.
    pub fn metrics_log(&self, id: &str) -> PathBuf {
        self.run(id).join(RunFolder::METRICS_LOG)
    }

    /// What the trial's processes printed.
    pub fn log(&self, id: &str) -> PathBuf {
        self.root.join("logs").join(format!("{id}.log"))
    }

    fn state_path(&self, id: &str) -> PathBuf {
        self.root.join("states").join(format!("{id}.json"))
    }

    /// The trial's state; `None` where it was never started. A state that cannot be read counts as interrupted: the run folder decides.
    ///
    /// # Errors
    /// The disk's.
    pub fn state(&self, id: &str) -> Result<Option<TrialState>, TrainError> {
        let path = self.state_path(id);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(serde_json::from_str(&text).unwrap_or(TrialState {
                status: Status::Interrupted,
                attempts: 0,
                seconds: 0.0,
                pid: None,
                host: String::new(),
                reason: None,
            }))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(TrainError::io(path)(e)),
        }
    }

    /// Writes the trial's state, whole or not at all.
    ///
    /// # Errors
    /// The disk's.
    pub fn set_state(&self, id: &str, state: &TrialState) -> Result<(), TrainError> {
        write_json(&self.state_path(id), state)
    }

    /// True where the trial's run folder holds something to go on from.
    pub fn started(&self, id: &str) -> bool {
        std::fs::read_dir(self.run(id)).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Writes the trial's experiment file. A trial that was started with another experiment is not mixed with this one.
    ///
    /// # Errors
    /// [`TrainError::RunFolder`] with the first keys that differ; the disk's.
    pub fn prepare(&self, trial: &Trial) -> Result<(), TrainError> {
        let path = self.experiment(&trial.id);
        if self.state(&trial.id)?.is_some() && path.is_file() {
            let before = Loaded::read(&path, &[])?;
            let differences = diff(&before.resolved, &trial.loaded.resolved);
            let keys: Vec<&str> = differences.iter().map(|d| d.key.as_str()).collect();
            if keys.is_empty() {
                return Ok(());
            }
            return Err(TrainError::RunFolder {
                path: self.run(&trial.id),
                problem: RunFolderProblem::OtherExperiment { keys: keys.iter().take(3).copied().collect::<Vec<_>>().join(", ") },
            });
        }
        Ok(trial.loaded.write(&path)?)
    }
}
