//! The networks of both detectors: image to proposals, regions to classes and boxes, regions to masks.

use std::sync::Arc;

use repghost_backbone::{Backbone, Collector, FuseLevel, Ops, Tree};
use repghost_config::Check;

use super::config::{FasterRcnnConfig, MaskHeadConfig, MaskRcnnConfig, EXTRA_LEVELS};
use super::decode::RcnnDecoder;
use super::heads::{BoxHead, BoxOutputs, MaskHead};
use super::rpn::{RpnHead, RpnOutputs};
use super::sampler::SampleRng;
use crate::anchors::AnchorSet;
use crate::backbone_with_fpn::BackboneWithFpn;
use crate::error::HeadError;
use crate::fpn::FpnConfig;
use crate::stage::{Outputs, Stage};

/// The detector.
#[derive(Debug)]
pub struct Rcnn {
    /// Image to pyramid.
    pub backbone: BackboneWithFpn,
    /// Pyramid to anchors' outputs.
    pub rpn: RpnHead,
    /// Pooled regions to classes and boxes.
    pub box_head: BoxHead,
    /// Pooled regions to masks: Mask R-CNN has it.
    pub mask_head: Option<MaskHead>,
    /// What lies between the networks, and after them.
    pub decoder: RcnnDecoder,
    /// Which samples are trained. A trainer sets it at its start and when it resumes.
    pub samples: SampleRng,
    pub(super) config: FasterRcnnConfig,
}

/// Outputs of the first stage.
#[derive(Debug)]
pub struct StageOne<V> {
    /// One map per level, fine to coarse; the last one is for proposals only.
    pub pyramid: Vec<V>,
    /// Outputs at the anchors.
    pub rpn: RpnOutputs<V>,
}

impl Rcnn {
    /// A Faster R-CNN of `classes` classes with initial weights, drawn from torch's global generator.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn faster(body: Backbone, fpn: &FpnConfig, config: &FasterRcnnConfig, classes: i64) -> Result<Self, HeadError> {
        config.check("model.head")?;
        Self::new(body, fpn, config, None, classes)
    }

    /// A Mask R-CNN of `classes` classes with initial weights, drawn from torch's global generator.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn mask(body: Backbone, fpn: &FpnConfig, config: &MaskRcnnConfig, classes: i64) -> Result<Self, HeadError> {
        config.check("model.head")?;
        Self::new(body, fpn, &config.faster(), Some(&config.mask_head), classes)
    }

    fn new(
        body: Backbone,
        fpn: &FpnConfig,
        config: &FasterRcnnConfig,
        mask_head: Option<&MaskHeadConfig>,
        classes: i64,
    ) -> Result<Self, HeadError> {
        let backbone = BackboneWithFpn::new(body, &config.levels, fpn, EXTRA_LEVELS)?;
        let decoder = RcnnDecoder::new(fpn, config, mask_head, classes)?;
        let (channels, outputs) = (backbone.fpn.channels(), decoder.labels.outputs());
        Ok(Self {
            rpn: RpnHead::new(channels, decoder.anchors.per_location() as i64, config.rpn.conv_depth),
            box_head: BoxHead::new(channels, outputs, &config.box_head),
            mask_head: mask_head.map(|mask| MaskHead::new(channels, outputs, mask)),
            samples: SampleRng::default(),
            config: config.clone(),
            backbone,
            decoder,
        })
    }

    /// Settings it was made from, without those of the mask branch.
    pub fn config(&self) -> &FasterRcnnConfig {
        &self.config
    }

    /// Image `[N, 3, H, W]` to pyramid and anchors' outputs, for any reader.
    pub fn stage_one<O: Ops>(&self, ops: &mut O, pixels: &O::Value) -> StageOne<O::Value> {
        let pyramid = ops.scope("backbone", |ops| self.backbone.forward(ops, pixels));
        let rpn = ops.scope("rpn.head", |ops| self.rpn.forward(ops, &pyramid));
        StageOne { pyramid, rpn }
    }

    /// Regions `[K, C, pool, pool]` to classes and boxes, for any reader.
    pub fn box_stage<O: Ops>(&self, ops: &mut O, pooled: &O::Value) -> BoxOutputs<O::Value> {
        ops.scope("roi_heads", |ops| self.box_head.forward(ops, pooled))
    }

    /// Regions `[K, C, pool, pool]` to mask logits `[K, outputs, 2 pool, 2 pool]`, for any reader; none without a mask branch.
    pub fn mask_stage<O: Ops>(&self, ops: &mut O, pooled: &O::Value) -> Option<O::Value> {
        let head = self.mask_head.as_ref()?;
        Some(ops.scope("roi_heads", |ops| head.forward(ops, pooled)))
    }

    /// A stage's named outputs, for any reader.
    pub fn run_stage<O: Ops>(&self, stage: &Stage, ops: &mut O, x: &O::Value) -> Outputs<O::Value> {
        match stage {
            Stage::Image => {
                let StageOne { pyramid, rpn } = self.stage_one(ops, x);
                let maps = self.config.pooled_levels().into_iter().map(|l| format!("P{l}")).zip(pyramid);
                maps.chain([("objectness".into(), rpn.logits), ("deltas".into(), rpn.deltas)]).collect()
            }
            Stage::Boxes(_) => {
                let raw = self.box_stage(ops, x);
                vec![("logits".into(), raw.logits), ("deltas".into(), raw.deltas)]
            }
            Stage::Masks(_) => self.mask_stage(ops, x).into_iter().map(|masks| ("masks".into(), masks)).collect(),
        }
    }

    /// The anchors that belong to the first stage's outputs for a padded image of `size` (height, width).
    pub fn anchors(&self, size: [i64; 2]) -> Arc<AnchorSet> {
        self.decoder.anchors.anchors(size)
    }
}

impl Tree for Rcnn {
    fn visit(&self, v: &mut Collector) {
        v.child("backbone", &self.backbone);
        v.child("rpn.head", &self.rpn);
        v.within("roi_heads", |v| {
            self.box_head.visit(v);
            if let Some(head) = &self.mask_head {
                head.visit(v);
            }
        });
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.backbone.fuse(level);
        self.box_head.fuse(level);
        if let Some(head) = &mut self.mask_head {
            head.fuse(level);
        }
    }
}
