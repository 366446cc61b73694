//! The keys of an experiment file, as typed structs.
//!
//! Every struct refuses unknown keys and has a default for each of its own, so that an experiment file only says what differs.
//! The defaults are the field's standard terms: torchvision's for heads and post-processing, mmdetection's 1x schedule for training.

pub mod data;
pub mod eval;
pub mod model;
pub mod train;

use serde::{Deserialize, Serialize};

pub use data::{DataConfig, DataSource, OnBadAnnotation, OnUnreadableImage, ShapesConfig, SplitConfig};
pub use repghost_backbone::BackboneConfig;
pub use repghost_coco::AugmentConfig;
pub use repghost_heads::fpn::{ExtraLevels, FpnConfig};

pub use eval::{EvalConfig, RunConfig};
pub use model::{ClassifierConfig, HeadConfig, InitConfig, ModelConfig};
pub use repghost_heads::rcnn::MaskRcnnConfig;
pub use repghost_heads::RetinaNetConfig;
pub use train::{
    BatchNormConfig, CheckpointConfig, EmaConfig, OptimizerConfig, OptimizerName, Precision, ScheduleConfig, ScheduleName,
    ScheduleStep, TrainConfig,
};

/// What is learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Boxes (and masks) of objects.
    #[default]
    Detection,
    /// One class an image.
    Classification,
}

/// A whole experiment: what `train`, `eval`, `predict` and the rest read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Experiment {
    /// What is learned.
    pub task: Task,
    /// Where samples come from and how they are augmented.
    pub data: DataConfig,
    /// Backbone, neck and head.
    pub model: ModelConfig,
    /// Weights to start from.
    pub init: InitConfig,
    /// Optimizer, schedule and everything else about learning.
    pub train: TrainConfig,
    /// Post-processing and evaluation.
    pub eval: EvalConfig,
    /// Where results go.
    pub run: RunConfig,
}
