//! RetinaNet: a dense detector on a feature pyramid (Lin et al. 2017, *Focal Loss for Dense Object Detection*).
//!
//! The way of an image: [`BackboneWithFpn`] → [`RetinaNetHead`] → with targets the losses, without them the [`RetinaNetDecoder`].

pub mod config;
pub mod decode;
pub mod head;
mod loss;

use std::sync::Arc;

use repghost_backbone::{Backbone, Collector, Eager, FuseLevel, Ops, Tree};
use repghost_config::{Check, Checker};
use tch::Tensor;

pub use config::RetinaNetConfig;
use config::EXTRA_LEVELS;
pub use decode::RetinaNetDecoder;
use head::NORM_GROUPS;
pub use head::{RawOutputs, RetinaNetHead};

use crate::anchors::{one_list_per_level, AnchorSet};
use crate::backbone_with_fpn::BackboneWithFpn;
use crate::error::HeadError;
use crate::fpn::FpnConfig;
use crate::model::{DetectorConfig, DetectorModel, Facts, PredictionLayer};
use crate::postprocess::PostprocessConfig;
use crate::stage::Outputs;
use crate::types::{HostDetections, ImageBatch, Losses, Target};

/// The detector.
#[derive(Debug)]
pub struct RetinaNet {
    /// Image to pyramid.
    pub backbone: BackboneWithFpn,
    /// Pyramid to raw outputs.
    pub head: RetinaNetHead,
    /// Raw outputs to detections.
    pub decoder: RetinaNetDecoder,
    config: RetinaNetConfig,
}

impl RetinaNet {
    /// A detector of `classes` classes with initial weights.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn new(body: Backbone, fpn: &FpnConfig, config: &RetinaNetConfig, classes: i64) -> Result<Self, HeadError> {
        config.check("model.head")?;
        let backbone = BackboneWithFpn::new(body, &config.levels, fpn, EXTRA_LEVELS)?;
        let decoder = RetinaNetDecoder::new(fpn, config, classes)?;
        let head = RetinaNetHead::new(backbone.fpn.channels(), decoder.anchors.per_location(), decoder.labels.outputs(), config)?;
        Ok(Self { backbone, head, decoder, config: config.clone() })
    }

    /// Class logits `[N, A, C]` and box offsets `[N, A, 4]`, for any reader.
    pub fn raw<O: Ops>(&self, ops: &mut O, pixels: &O::Value) -> RawOutputs<O::Value> {
        let pyramid = ops.scope("backbone", |ops| self.backbone.forward(ops, pixels));
        ops.scope("head", |ops| self.head.forward(ops, &pyramid))
    }

    /// [`RetinaNet::raw`] as named outputs of the detector's one stage.
    pub fn run_stage<O: Ops>(&self, ops: &mut O, pixels: &O::Value) -> Outputs<O::Value> {
        let raw = self.raw(ops, pixels);
        vec![("logits".into(), raw.logits), ("deltas".into(), raw.deltas)]
    }

    /// The anchors that belong to the raw outputs of a padded image of `size` (height, width).
    pub fn anchors(&self, size: [i64; 2]) -> Arc<AnchorSet> {
        self.decoder.anchors.anchors(size)
    }

    /// The losses `classification` and `bbox_regression` from raw outputs, for images padded to `padded` (height, width).
    ///
    /// # Panics
    /// When labels are not class indices of this detector.
    pub fn losses_of(&self, raw: &RawOutputs<Tensor>, padded: [i64; 2], targets: &[Target]) -> Losses {
        let objects: Vec<_> = targets.iter().map(|t| self.decoder.labels.objects(t)).collect();
        loss::losses(raw, &self.anchors(padded), &objects, &self.config)
    }

    /// The objects in the images, in inference mode.
    pub fn detect(&self, images: &ImageBatch) -> Vec<HostDetections> {
        let _guard = tch::no_grad_guard();
        let raw = self.raw(&mut Eager::eval(), &images.pixels);
        self.decoder.decode(&raw, images.padded_size(), &images.sizes)
    }
}

impl DetectorModel for RetinaNet {
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
            PredictionLayer { suffix: "", output: "deltas", path: "head.regression_head.bbox_reg", per_class: false },
        ]
    }
}

impl DetectorConfig for RetinaNetConfig {
    fn facts(&self) -> Facts<'_> {
        Facts { name: "retinanet", title: "RetinaNet", has_masks: false, coco_91: self.coco_91, levels: &self.levels }
    }

    fn check_rules(&self, at: &mut Checker) {
        self.rules(at);
    }

    fn check_with(&self, fpn: &FpnConfig, at: &mut Checker) {
        one_list_per_level(at, "head.anchors.sizes", &self.anchors.sizes, &fpn.levels(&self.levels, EXTRA_LEVELS));
        let fits = !self.group_norm || self.tower_channels.is_some() || fpn.channels % NORM_GROUPS == 0;
        at.require(fits, "fpn.channels", fpn.channels, format!("a multiple of {NORM_GROUPS}, which head.group_norm needs"));
    }
}

impl Tree for RetinaNet {
    fn visit(&self, v: &mut Collector) {
        v.child("backbone", &self.backbone);
        v.child("head", &self.head);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.backbone.fuse(level);
    }
}
