//! Faster R-CNN (Ren et al. 2015) and Mask R-CNN (He et al. 2017): proposals first, then a class and a box for each, and with the mask branch a
//! mask.
//!
//! | stage | module | in | out |
//! |---|---|---|---|
//! | 1 | [`rpn`] | pyramid | objectness and offsets at every anchor |
//! |   | [`proposals`] | those | a thousand boxes per image |
//! | 2 | [`crate::roi_align`] | pyramid, boxes | features on a fixed grid |
//! |   | [`heads`] | those | classes, boxes, masks |
//! |   | [`decode`], [`paste`] | those | detections; masks in the image |
//! | training | `losses`, [`sampler`], `targets`, `mask_targets`, `chunked_loss` | objects | four losses, five with masks |
//!
//! Semantics and names are torchvision's. The networks are generic over [`Ops`] ([`Rcnn::stage_one`], [`Rcnn::box_stage`],
//! [`Rcnn::mask_stage`]); the code between them is plain Rust on host data, in [`RcnnDecoder`]. Both detectors are one type: Faster R-CNN is
//! the one without a mask branch.

mod chunked_loss;
pub mod config;
pub mod decode;
pub mod heads;
mod losses;
mod mask_targets;
pub mod paste;
pub mod proposals;
pub mod rpn;
pub mod sampler;
mod targets;
mod train;

use std::sync::Arc;

use repghost_backbone::{Backbone, Eager, FuseLevel, Ops, Tree, Visitor};
use repghost_config::{Check, Checker};
use tch::Tensor;

pub use config::{BoxHeadConfig, FasterRcnnConfig, MaskHeadConfig, MaskRcnnConfig, RoiConfig, RpnConfig};
pub use decode::RcnnDecoder;
pub use heads::{BoxHead, BoxOutputs, MaskHead};
pub use rpn::{RpnHead, RpnOutputs};

use crate::anchors::AnchorSet;
use crate::backbone_with_fpn::BackboneWithFpn;
use crate::decoder::Decoder;
use crate::detector::{Detector, DetectorConfig, DetectorModel, HeadConfig, PredictionLayer};
use crate::error::HeadError;
use crate::fpn::{ExtraLevels, FpnConfig};
use crate::host::upload;
use crate::postprocess::PostprocessConfig;
use crate::stage::{Outputs, Regions, Stage};
use crate::types::{ImageBatch, Losses, Target};
use sampler::SampleRng;

/// Levels above the backbone's, where `model.fpn.extra_levels` is unset.
const EXTRA_LEVELS: ExtraLevels = ExtraLevels::MaxPool;

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
    config: FasterRcnnConfig,
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

    /// Regions `[K, C, 7, 7]` to classes and boxes, for any reader.
    pub fn box_stage<O: Ops>(&self, ops: &mut O, pooled: &O::Value) -> BoxOutputs<O::Value> {
        ops.scope("roi_heads", |ops| self.box_head.forward(ops, pooled))
    }

    /// Regions `[K, C, 14, 14]` to mask logits `[K, outputs, 28, 28]`, for any reader; none without a mask branch.
    pub fn mask_stage<O: Ops>(&self, ops: &mut O, pooled: &O::Value) -> Option<O::Value> {
        let head = self.mask_head.as_ref()?;
        Some(ops.scope("roi_heads", |ops| head.forward(ops, pooled)))
    }

    /// A stage's named outputs, for any reader.
    pub fn run_stage<O: Ops>(&self, stage: &Stage, ops: &mut O, x: &O::Value) -> Outputs<O::Value> {
        match stage {
            Stage::Image => {
                let StageOne { pyramid, rpn } = self.stage_one(ops, x);
                let maps = self.config.levels.iter().map(|l| format!("P{l}")).zip(pyramid);
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

impl DetectorModel for Rcnn {
    fn name(&self) -> &'static str {
        if self.mask_head.is_some() {
            MASK_RCNN
        } else {
            FASTER_RCNN
        }
    }

    fn losses(&self, ops: &mut Eager, images: &ImageBatch, targets: &[Target]) -> Losses {
        train::losses(self, ops, images, targets)
    }

    /// Of masks only the wanted output is computed.
    fn run_regions(&self, stage: &Stage, ops: &mut Eager, regions: &Regions) -> Outputs<Tensor> {
        match (stage, &self.mask_head) {
            (Stage::Masks(_), Some(head)) => {
                let outputs = upload(&Tensor::from_slice(&regions.outputs), regions.pooled.device());
                let masks = ops.scope("roi_heads", |ops| head.forward_of(ops, &regions.pooled, &outputs));
                vec![("masks".into(), masks)]
            }
            _ => self.run_stage(stage, ops, &regions.pooled),
        }
    }

    fn set_sampling(&self, seed: u64, batch: u64) {
        self.samples.set(seed, batch);
    }

    fn backbone(&self) -> &BackboneWithFpn {
        &self.backbone
    }

    fn into_body(self: Box<Self>) -> Backbone {
        self.backbone.body
    }

    fn decoder(&self) -> Decoder {
        Decoder::Rcnn(self.decoder.clone())
    }

    fn postprocess_mut(&mut self) -> &mut PostprocessConfig {
        &mut self.decoder.postprocess
    }

    fn prediction_layers(&self) -> &'static [PredictionLayer] {
        const LAYERS: [PredictionLayer; 5] = [
            PredictionLayer { suffix: "", output: "objectness", path: "rpn.head.cls_logits", per_class: false },
            PredictionLayer { suffix: "", output: "deltas", path: "rpn.head.bbox_pred", per_class: false },
            PredictionLayer { suffix: ".boxes", output: "logits", path: "roi_heads.box_predictor.cls_score", per_class: true },
            PredictionLayer { suffix: ".boxes", output: "deltas", path: "roi_heads.box_predictor.bbox_pred", per_class: true },
            PredictionLayer {
                suffix: ".masks",
                output: "masks",
                path: "roi_heads.mask_predictor.mask_fcn_logits",
                per_class: true,
            },
        ];
        match self.mask_head {
            Some(_) => &LAYERS,
            None => &LAYERS[..4],
        }
    }
}

const FASTER_RCNN: &str = "faster_rcnn";
const MASK_RCNN: &str = "mask_rcnn";

/// The part that both detectors have, with few proposals and a thin box head.
fn narrow(config: &FasterRcnnConfig) -> FasterRcnnConfig {
    FasterRcnnConfig {
        rpn: RpnConfig { pre_nms_top_n_test: 120, post_nms_top_n_test: 60, ..config.rpn.clone() },
        box_head: BoxHeadConfig { fcs: vec![32], ..config.box_head.clone() },
        ..config.clone()
    }
}

impl DetectorConfig for FasterRcnnConfig {
    fn name(&self) -> &'static str {
        FASTER_RCNN
    }

    fn title(&self) -> &'static str {
        "Faster R-CNN"
    }

    fn coco_91(&self) -> bool {
        self.coco_91
    }

    fn check_rules(&self, at: &mut Checker) {
        self.rules(at);
    }

    fn narrow(&self) -> HeadConfig {
        HeadConfig::FasterRcnn(narrow(self))
    }

    fn build(&self, body: Backbone, fpn: &FpnConfig, classes: i64) -> Result<Detector, HeadError> {
        Ok(Detector::Rcnn(Box::new(Rcnn::faster(body, fpn, self, classes)?)))
    }

    fn decoder(&self, fpn: &FpnConfig, classes: i64) -> Result<Decoder, HeadError> {
        Ok(Decoder::Rcnn(RcnnDecoder::new(fpn, self, None, classes)?))
    }
}

impl DetectorConfig for MaskRcnnConfig {
    fn name(&self) -> &'static str {
        MASK_RCNN
    }

    fn title(&self) -> &'static str {
        "Mask R-CNN"
    }

    fn has_masks(&self) -> bool {
        true
    }

    fn coco_91(&self) -> bool {
        self.coco_91
    }

    fn check_rules(&self, at: &mut Checker) {
        self.rules(at);
    }

    fn narrow(&self) -> HeadConfig {
        let FasterRcnnConfig { levels, rpn, roi, box_head, coco_91 } = narrow(&self.faster());
        let mask_head = MaskHeadConfig { convs: vec![16], deconv: 16, ..self.mask_head.clone() };
        HeadConfig::MaskRcnn(Self { levels, rpn, roi, box_head, mask_head, coco_91 })
    }

    fn build(&self, body: Backbone, fpn: &FpnConfig, classes: i64) -> Result<Detector, HeadError> {
        Ok(Detector::Rcnn(Box::new(Rcnn::mask(body, fpn, self, classes)?)))
    }

    fn decoder(&self, fpn: &FpnConfig, classes: i64) -> Result<Decoder, HeadError> {
        Ok(Decoder::Rcnn(RcnnDecoder::new(fpn, &self.faster(), Some(&self.mask_head), classes)?))
    }
}

impl Tree for Rcnn {
    fn visit(&self, v: &mut Visitor) {
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
