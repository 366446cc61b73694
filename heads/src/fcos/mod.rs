//! FCOS: a dense detector without anchors (Tian et al. 2019, *FCOS: Fully Convolutional One-Stage Object Detection*).
//!
//! Every position of every pyramid level is a point. It predicts which object it lies in, how far away the four sides of that object's box are, and
//! how near the box's middle it is (*centerness*), by which scores far from the middle are lowered.
//!
//! The way of an image: [`BackboneWithFpn`] → [`FcosHead`] → with targets the losses, without them the [`FcosDecoder`]. Semantics and names are
//! torchvision's, which gives a point as an anchor: a square around it, one stride wide.

pub mod config;
pub mod decode;
mod distances;
pub mod head;
mod loss;
mod targets;

use std::sync::Arc;

use repghost_backbone::{Backbone, Collector, Eager, FuseLevel, Ops, Tree};
use repghost_config::{Check, Checker};
use tch::Tensor;

pub use config::FcosConfig;
use config::EXTRA_LEVELS;
pub use decode::FcosDecoder;
pub use head::{FcosHead, FcosOutputs};

use crate::anchors::AnchorSet;
use crate::backbone_with_fpn::BackboneWithFpn;
use crate::error::HeadError;
use crate::fpn::FpnConfig;
use crate::model::{DetectorConfig, DetectorModel, Facts, PredictionLayer};
use crate::postprocess::PostprocessConfig;
use crate::stage::Outputs;
use crate::types::{ImageBatch, Losses, Target};

/// The detector.
#[derive(Debug)]
pub struct Fcos {
    /// Image to pyramid.
    pub backbone: BackboneWithFpn,
    /// Pyramid to raw outputs.
    pub head: FcosHead,
    /// Raw outputs to detections.
    pub decoder: FcosDecoder,
    config: FcosConfig,
}

impl Fcos {
    /// A detector of `classes` classes with initial weights.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn new(body: Backbone, fpn: &FpnConfig, config: &FcosConfig, classes: i64) -> Result<Self, HeadError> {
        config.check("model.head")?;
        let backbone = BackboneWithFpn::new(body, &config.levels, fpn, EXTRA_LEVELS)?;
        let decoder = FcosDecoder::new(fpn, config, classes)?;
        let head = FcosHead::new(backbone.fpn.channels(), decoder.labels.outputs(), config)?;
        Ok(Self { backbone, head, decoder, config: config.clone() })
    }

    /// The head's outputs at every point, for any reader.
    pub fn raw<O: Ops>(&self, ops: &mut O, pixels: &O::Value) -> FcosOutputs<O::Value> {
        let pyramid = ops.scope("backbone", |ops| self.backbone.forward(ops, pixels));
        ops.scope("head", |ops| self.head.forward(ops, &pyramid))
    }

    /// [`Fcos::raw`] as named outputs of the detector's one stage.
    pub fn run_stage<O: Ops>(&self, ops: &mut O, pixels: &O::Value) -> Outputs<O::Value> {
        let raw = self.raw(ops, pixels);
        vec![("logits".into(), raw.logits), ("distances".into(), raw.distances), ("centerness".into(), raw.centerness)]
    }

    /// The points of a padded image of `size` (height, width), each as a square one stride wide.
    pub fn points(&self, size: [i64; 2]) -> Arc<AnchorSet> {
        self.decoder.anchors.anchors(size)
    }

    /// The losses `classification`, `bbox_regression` and `bbox_ctrness` from raw outputs, for images padded to `padded` (height, width).
    ///
    /// # Panics
    /// When labels are not class indices of this detector.
    pub fn losses_of(&self, raw: &FcosOutputs<Tensor>, padded: [i64; 2], targets: &[Target]) -> Losses {
        let objects: Vec<_> = targets.iter().map(|t| self.decoder.labels.objects(t)).collect();
        loss::losses(raw, &self.points(padded), &objects, &self.config)
    }
}

impl DetectorModel for Fcos {
    fn name(&self) -> &'static str {
        self.config.facts().name
    }

    fn losses(&self, ops: &mut Eager, images: &ImageBatch, targets: &[Target]) -> Losses {
        assert_eq!(images.pixels.size()[0], targets.len() as i64, "one target per image");
        let raw = self.raw(ops, &images.pixels);
        self.losses_of(&raw, images.padded_size(), targets)
    }

    fn backbone(&self) -> &BackboneWithFpn {
        &self.backbone
    }

    fn into_body(self: Box<Self>) -> Backbone {
        self.backbone.body
    }

    fn postprocess_mut(&mut self) -> &mut PostprocessConfig {
        &mut self.decoder.postprocess
    }

    fn prediction_layers(&self) -> &'static [PredictionLayer] {
        &[
            PredictionLayer { suffix: "", output: "logits", path: "head.classification_head.cls_logits", per_class: true },
            PredictionLayer { suffix: "", output: "distances", path: "head.regression_head.bbox_reg", per_class: false },
            PredictionLayer { suffix: "", output: "centerness", path: "head.regression_head.bbox_ctrness", per_class: false },
        ]
    }
}

impl DetectorConfig for FcosConfig {
    fn facts(&self) -> Facts<'_> {
        Facts { name: "fcos", title: "FCOS", has_masks: false, coco_91: self.coco_91, levels: &self.levels }
    }

    fn check_rules(&self, at: &mut Checker) {
        self.rules(at);
    }

    fn check_with(&self, fpn: &FpnConfig, at: &mut Checker) {
        let fits = self.norm_groups < 1 || fpn.channels % self.norm_groups == 0;
        at.require(fits, "head.norm_groups", self.norm_groups, format!("a divisor of fpn.channels ({})", fpn.channels));
    }
}

impl Tree for Fcos {
    fn visit(&self, v: &mut Collector) {
        v.child("backbone", &self.backbone);
        v.child("head", &self.head);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.backbone.fuse(level);
    }
}
