//! The detectors as one type: what the trainer, the evaluator and the exporter hold.

use repghost_backbone::{Backbone, Eager, FuseLevel, Tree, Visitor};
use serde::{Deserialize, Serialize};

use crate::error::HeadError;
use crate::fpn::FpnConfig;
use crate::mask_rcnn::postprocess::Limits;
use crate::mask_rcnn::{MaskRcnn, MaskRcnnConfig};
use crate::pyramid_backbone::BackboneWithFpn;
use crate::retinanet::{PostprocessConfig, RetinaNet, RetinaNetConfig};
use crate::types::{Detections, ImageBatch, Losses, Target};

/// The keys below `model.head`; `name` tells which detector they belong to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum HeadConfig {
    /// `name: retinanet`.
    Retinanet(RetinaNetConfig),
    /// `name: mask_rcnn`.
    MaskRcnn(MaskRcnnConfig),
}

impl HeadConfig {
    /// Names that `model.head.name` takes.
    pub const NAMES: &[&str] = &["retinanet", "mask_rcnn"];

    /// Builds the detector of `classes` classes on a backbone. Initial weights come from torch's global generator.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn build(&self, backbone: Backbone, fpn: &FpnConfig, classes: i64) -> Result<Detector, HeadError> {
        match self {
            Self::Retinanet(config) => Ok(Detector::RetinaNet(Box::new(RetinaNet::new(backbone, fpn, config, classes)?))),
            Self::MaskRcnn(config) => Ok(Detector::MaskRcnn(Box::new(MaskRcnn::new(backbone, fpn, config, classes)?))),
        }
    }
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self::Retinanet(RetinaNetConfig::default())
    }
}

/// A detector.
#[derive(Debug)]
pub enum Detector {
    /// Dense, one stage.
    RetinaNet(Box<RetinaNet>),
    /// Two stages, with masks.
    MaskRcnn(Box<MaskRcnn>),
}

impl Detector {
    /// Losses of a batch, to be summed. `ops` tells the mode ([`Eager::train`] updates batch-norm statistics).
    ///
    /// # Panics
    /// When there are not as many targets as images, or labels are not class indices of this detector.
    pub fn losses(&self, ops: &mut Eager, images: &ImageBatch, targets: &[Target]) -> Losses {
        match self {
            Self::RetinaNet(d) => d.losses(ops, images, targets),
            Self::MaskRcnn(d) => d.losses(ops, images, targets),
        }
    }

    /// What is in the images, in inference mode.
    pub fn detect(&self, images: &ImageBatch) -> Vec<Detections> {
        match self {
            Self::RetinaNet(d) => d.detect(images),
            Self::MaskRcnn(d) => d.detect(images),
        }
    }

    /// Tells a detector that draws samples for its losses which draws come next: those of `seed`, from batch `batch` on. Called at
    /// the start of a run and after a resume, so that a resumed run draws what the uninterrupted one would have drawn.
    pub fn set_sampling(&self, seed: u64, batch: u64) {
        match self {
            Self::RetinaNet(_) => {}
            Self::MaskRcnn(d) => d.samples.set(seed, batch),
        }
    }

    /// Sets how detections are picked. (Mask R-CNN takes its candidates from proposals, so `pre_nms_top_k` is not its concern.)
    pub fn set_postprocess(&mut self, config: PostprocessConfig) {
        match self {
            Self::RetinaNet(d) => d.postprocess = config,
            Self::MaskRcnn(d) => {
                let (score, iou) = (config.score_threshold as f32, config.nms_threshold as f32);
                d.limits = Limits { score, iou, count: config.max_detections };
            }
        }
    }

    /// The backbone with its pyramid.
    pub fn backbone(&self) -> &BackboneWithFpn {
        match self {
            Self::RetinaNet(d) => &d.backbone,
            Self::MaskRcnn(d) => &d.backbone,
        }
    }

    /// Paths of the layers whose size is the number of classes: what is made anew when weights of other classes are tuned.
    pub fn class_layers(&self) -> Vec<String> {
        let layers: &[&str] = match self {
            Self::RetinaNet(_) => &["head.classification_head.cls_logits"],
            Self::MaskRcnn(_) => &[
                "roi_heads.box_predictor.cls_score",
                "roi_heads.box_predictor.bbox_pred",
                "roi_heads.mask_predictor.mask_fcn_logits",
            ],
        };
        layers.iter().map(|layer| layer.to_string()).collect()
    }

    /// Number of classes.
    pub fn classes(&self) -> i64 {
        match self {
            Self::RetinaNet(d) => d.layout.classes(),
            Self::MaskRcnn(d) => d.layout.classes(),
        }
    }
}

impl Tree for Detector {
    fn visit(&self, v: &mut Visitor) {
        match self {
            Self::RetinaNet(d) => d.visit(v),
            Self::MaskRcnn(d) => d.visit(v),
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        match self {
            Self::RetinaNet(d) => d.fuse(level),
            Self::MaskRcnn(d) => d.fuse(level),
        }
    }
}
