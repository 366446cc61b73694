//! Where a run keeps what, and which folder a new run gets.

use std::path::{Path, PathBuf};

use repghost_files::write_atomic;

use crate::error::{RunFolderProblem, TrainError};

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Name of the file with every record of the run.
    pub const METRICS_LOG: &'static str = "metrics.jsonl";

    /// The folder of a run that is only read.
    pub fn at(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// A folder for a new run: it must not exist, or be empty.
    ///
    /// # Errors
    /// [`TrainError::RunFolder`] where something is in it already.
    pub fn create(root: &Path) -> Result<Self, TrainError> {
        if !is_free(root)? {
            return Err(TrainError::RunFolder { path: root.into(), problem: RunFolderProblem::NotEmpty });
        }
        let folder = Self { root: root.into() };
        for dir in [root.to_path_buf(), folder.checkpoints(), folder.weights(), folder.predictions()] {
            std::fs::create_dir_all(&dir).map_err(TrainError::io(dir))?;
        }
        Ok(folder)
    }

    /// A folder for a new run whose folder the user did not name: `base`, or else `base-2`, `base-3` and so on.
    ///
    /// # Errors
    /// The disk's.
    pub fn create_numbered(base: &Path) -> Result<Self, TrainError> {
        Self::create(&Self::free_numbered(base)?)
    }

    /// The first of `base`, `base-2`, `base-3` and so on that is not there.
    ///
    /// # Errors
    /// The disk's.
    pub fn free_numbered(base: &Path) -> Result<PathBuf, TrainError> {
        let mut number = 1;
        loop {
            let root = numbered(base, number);
            if is_free(&root)? {
                return Ok(root);
            }
            number += 1;
        }
    }

    /// The folder of a run to go on with.
    ///
    /// # Errors
    /// [`TrainError::RunFolder`] where there is none.
    pub fn open(root: &Path) -> Result<Self, TrainError> {
        if is_free(root)? {
            return Err(TrainError::RunFolder { path: root.into(), problem: RunFolderProblem::NothingToResume });
        }
        let folder = Self { root: root.into() };
        for dir in [folder.checkpoints(), folder.weights(), folder.predictions()] {
            std::fs::create_dir_all(&dir).map_err(TrainError::io(dir))?;
        }
        Ok(folder)
    }

    /// The latest of `base`, `base-2`, … that is there, to go on with.
    ///
    /// # Errors
    /// [`TrainError::RunFolder`] where there is none.
    pub fn open_numbered(base: &Path) -> Result<Self, TrainError> {
        let mut number = 1;
        while !is_free(&numbered(base, number + 1))? {
            number += 1;
        }
        Self::open(&numbered(base, number))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The resolved experiment.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.yaml")
    }

    /// Versions, devices, command line.
    pub fn environment(&self) -> PathBuf {
        self.root.join("environment.json")
    }

    /// Every record of the run, one JSON object a line.
    pub fn metrics_log(&self) -> PathBuf {
        self.root.join(Self::METRICS_LOG)
    }

    /// TensorBoard's event files.
    pub fn events(&self) -> PathBuf {
        self.root.join("events")
    }

    /// Checkpoints to resume from.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// Weights to predict with: `best.safetensors`, `last.safetensors`.
    pub fn weights(&self) -> PathBuf {
        self.root.join("weights")
    }

    /// The file of weights with a name, such as `best` and `last`.
    pub fn weights_file(&self, name: &str) -> PathBuf {
        self.weights().join(format!("{name}.safetensors"))
    }

    /// Sample pictures of each evaluation.
    pub fn predictions(&self) -> PathBuf {
        self.root.join("predictions")
    }

    /// Loss, rate and accuracy over the run.
    pub fn curves(&self) -> PathBuf {
        self.root.join("curves.png")
    }

    /// Numbers of the last evaluation.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.json")
    }

    /// Detections of the last evaluation, as COCO results.
    pub fn detections(&self) -> PathBuf {
        self.root.join("detections.json")
    }
}

/// The sample pictures of a step.
pub fn sheet(predictions: &Path, step: u64) -> PathBuf {
    predictions.join(format!("step_{step:08}.png"))
}

/// Writes text whole or not at all.
///
/// # Errors
/// The disk's.
pub fn write_text(path: &Path, text: &str) -> Result<(), TrainError> {
    use std::io::Write;
    write_atomic(path, |f| f.write_all(text.as_bytes())).map_err(TrainError::io(path))
}

/// Writes a value as JSON for people, whole or not at all.
///
/// # Errors
/// The disk's.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), TrainError> {
    let text = serde_json::to_string_pretty(value).map_err(|e| TrainError::io(path)(e.into()))?;
    write_text(path, &(text + "\n"))
}

fn numbered(base: &Path, number: usize) -> PathBuf {
    match number {
        1 => base.to_path_buf(),
        n => base.with_file_name(format!("{}-{n}", base.file_name().unwrap_or_default().to_string_lossy())),
    }
}

/// True where there is no such folder, or nothing in it.
fn is_free(root: &Path) -> Result<bool, TrainError> {
    match std::fs::read_dir(root) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(TrainError::io(root)(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_in_use_are_refused_or_numbered() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("demo.v2");
        assert!(RunFolder::open_numbered(&base).is_err());
        assert_eq!(RunFolder::create_numbered(&base).unwrap().root(), base);
        let refused = RunFolder::create(&base).unwrap_err().to_string();
        assert!(refused.contains("demo.v2") && refused.contains("not empty"), "{refused}");
        assert_eq!(RunFolder::create_numbered(&base).unwrap().root(), dir.path().join("demo.v2-2"));
        assert_eq!(RunFolder::open_numbered(&base).unwrap().root(), dir.path().join("demo.v2-2"));
        assert_eq!(RunFolder::open(&base).unwrap().root(), base);
    }

    #[test]
    fn an_empty_folder_is_free() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RunFolder::create(dir.path()).is_ok());
    }
}
