//! The keys of an experiment file, as typed structs.
//!
//! Every struct refuses unknown keys and has a default for each of its own, so that an experiment file holds only what differs.
//! The defaults are the field's standard terms: torchvision's for heads and post-processing, mmdetection's 1x schedule for training.

pub mod data;
pub mod eval;
pub mod model;
pub mod selection;
pub mod train;

use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::optim::{OptimizerConfig, OptimizerName};
pub use crate::schedule::{ScheduleConfig, ScheduleName, ScheduleStep};
pub use data::{DataConfig, DataSource, ShapesConfig, SplitConfig};
pub use repghost_backbone::BackboneConfig;
pub use repghost_coco::{AugmentConfig, OnBadAnnotation, OnUnreadableImage};
pub use repghost_heads::fpn::{ExtraLevels, FpnConfig};

pub use eval::{EvalConfig, RunConfig};
pub use model::{ClassifierConfig, HeadConfig, InitConfig, ModelConfig};
pub use repghost_heads::rcnn::MaskRcnnConfig;
pub use repghost_heads::RetinaNetConfig;
pub use selection::{BestConfig, StopConfig};
pub use train::{
    BatchNormConfig, CheckpointConfig, Compress, DistributedConfig, DistributedEngine, EmaConfig, Kernels, Means, Precision,
    TrainConfig,
};

/// What is learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Boxes (and masks) of objects.
    #[default]
    Detection,
    /// One class per image.
    Classification,
}

/// A whole experiment: what `train`, `eval`, `predict` and the rest read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

impl Experiment {
    /// Metrics of an evaluation where more is better.
    pub fn metrics(&self) -> Vec<String> {
        const NUMBERS: [&str; 12] = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"];
        let of = |kind: &str| NUMBERS.map(|name| format!("{kind}/{name}"));
        match (self.task, self.model.head.has_masks()) {
            (Task::Classification, _) => ["top1", "top5", "mean_class_top1"].map(str::to_owned).to_vec(),
            (Task::Detection, false) => of("bbox").to_vec(),
            (Task::Detection, true) => of("bbox").into_iter().chain(of("segm")).collect(),
        }
    }
}

impl Check for Experiment {
    fn rules(&self, at: &mut Checker) {
        let classifier = matches!(self.model.head, HeadConfig::Classifier(_));
        let expected = match self.task {
            Task::Detection => {
                format!("{}, as task is detection (or task: classification)", repghost_heads::HeadConfig::NAMES.join(" or "))
            }
            Task::Classification => "classifier, as task is classification (or task: detection)".into(),
        };
        at.require(classifier == (self.task == Task::Classification), "model.head.name", self.model.head.name(), expected);
        at.part("data", &self.data);
        at.part("model", &self.model);
        at.part("train", &self.train);
        at.require(
            self.data.repeat_factor.is_none() || self.task == Task::Detection,
            "data.repeat_factor",
            "a value",
            "null, as task is classification: images are repeated for detectors only",
        );
        let stop_metric = self.train.stop.as_ref().and_then(|stop| stop.metric.as_ref());
        for (key, metric) in [("train.best.metric", self.train.best.metric.as_ref()), ("train.stop.metric", stop_metric)] {
            let known = self.metrics();
            let is_known = metric.is_none_or(|metric| known.contains(metric));
            at.require(is_known, key, metric.cloned().unwrap_or_default(), format!("one of {}", known.join(", ")));
        }
        let norms = &self.train.batch_norm;
        let loaded = self.init.backbone.is_some() || self.init.detector.is_some();
        at.require(
            norms.frozen_stages == 0 || loaded,
            "train.batch_norm.frozen_stages",
            format!("{} without weights", norms.frozen_stages),
            "init.backbone or init.detector to be set: frozen layers keep what they start with, and that would be noise",
        );
        at.require(
            !norms.use_running_stats || loaded,
            "train.batch_norm.use_running_stats",
            "true without weights",
            "init.backbone or init.detector to be set: a new network has no statistics to use",
        );
    }
}
