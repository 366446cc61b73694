//! What can go wrong while training, evaluating or predicting.

use std::path::PathBuf;

/// One line that names the file, key or record. See [`TrainError::exit_code`] for what the binary makes of it.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file could not be read, written or renamed.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting cannot work.
    #[error("{0}")]
    Config(String),
    /// A loss is not a number.
    #[error("{0}")]
    NotFinite(String),
    /// Everything is frozen.
    #[error("no trained parameter takes part in the loss: is everything frozen? (train.freeze)")]
    NothingToTrain,
    /// The optimizer's saved state does not fit.
    #[error("optimizer state: {0}")]
    OptimizerState(String),
    /// A checkpoint cannot be used.
    #[error("{path}: {reason}", path = .path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The run folder cannot be used.
    #[error("{path}: {reason}", path = .path.display())]
    RunFolder {
        /// The folder.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A picture could not be drawn.
    #[error("{path}: cannot draw: {reason}", path = .path.display())]
    Drawing {
        /// The file.
        path: PathBuf,
        /// What the drawing crate said.
        reason: String,
    },
    /// Weights could not be read, written or loaded.
    #[error(transparent)]
    Weights(#[from] repghost_backbone::weights::WeightsError),
    /// The experiment file cannot be used.
    #[error(transparent)]
    Experiment(#[from] crate::config::ConfigError),
    /// Images cannot be read.
    #[error(transparent)]
    Data(#[from] repghost_coco::DataError),
    /// An annotation file cannot be used.
    #[error(transparent)]
    Annotation(#[from] repghost_coco::AnnotationError),
    /// The settings make no detector.
    #[error(transparent)]
    Head(#[from] repghost_heads::HeadError),
    /// The settings make no backbone.
    #[error(transparent)]
    Backbone(#[from] repghost_backbone::registry::RegistryError),
    /// Detections could not be measured.
    #[error(transparent)]
    Metric(#[from] repghost_coco::MetricError),
    /// libtorch refused an operation.
    #[error("libtorch: {}", first_line(.0))]
    Torch(#[from] tch::TchError),
}

impl TrainError {
    /// 2 for input that cannot be used, 1 for a run that failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            TrainError::Data(repghost_coco::DataError::Write { .. }) => 1,
            TrainError::Config(_)
            | TrainError::RunFolder { .. }
            | TrainError::Checkpoint { .. }
            | TrainError::Experiment(_)
            | TrainError::Data(_)
            | TrainError::Annotation(_)
            | TrainError::Head(_)
            | TrainError::Backbone(_)
            | TrainError::Weights(_) => 2,
            _ => 1,
        }
    }

    /// An [`TrainError::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

/// libtorch's messages carry a C++ stack of 20 lines behind the first.
fn first_line(e: &tch::TchError) -> String {
    e.to_string().lines().next().unwrap_or_default().to_string()
}
