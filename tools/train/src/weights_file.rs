//! A weights file, read once: weights, and what its metadata records about the network.

use std::path::{Path, PathBuf};

use repghost_backbone::weights::{self, detect_form, Form, StateDict};
use repghost_heads::legacy_names::upgrade_names;

use crate::checkpoint::file::inference_weights;
use crate::config::Loaded;
use crate::error::TrainError;
use crate::model::{classes_in, keys, Class};

/// What the names of a detector's backbone start with.
pub const BODY: &str = "backbone.body.";

/// The weights to predict with from a file in any form: of a training checkpoint its moving average where there is one, names of early
/// torchvision versions upgraded.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    /// Tensors and metadata.
    pub state: StateDict,
}

impl WeightsFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Files that are missing, damaged or of another kind.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let mut state = inference_weights(weights::read(path)?);
        upgrade_names(&mut state);
        Ok(Self { path: path.into(), state })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The form of the weights: as trained, or fused.
    pub fn form(&self) -> Form {
        detect_form(&self.state)
    }

    /// Whether it holds a detector, rather than a backbone or classifier.
    pub fn is_detector(&self) -> bool {
        self.state.names().any(|n| n.starts_with(BODY))
    }

    /// The classes that it names, by label.
    pub fn classes(&self) -> Option<Vec<Class>> {
        classes_in(&self.state.metadata)
    }

    /// The experiment that its network was trained with, as the metadata of a run's weights has it, with overrides.
    ///
    /// # Errors
    /// [`TrainError::NoExperiment`] for files of other software; values that cannot work.
    pub fn experiment(&self, overrides: &[String]) -> Result<Loaded, TrainError> {
        match self.state.metadata.get(keys::EXPERIMENT) {
            Some(text) => Ok(Loaded::parse(text, &self.path, overrides)?),
            None => Err(TrainError::NoExperiment { path: self.path.clone() }),
        }
    }
}
