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
mod net;
pub mod paste;
pub mod proposals;
pub mod rpn;
pub mod sampler;
mod targets;
mod train;

use repghost_backbone::{Backbone, Eager, Ops};
use repghost_config::{Check, Checker};
use tch::Tensor;

pub use config::{BoxHeadConfig, FasterRcnnConfig, MaskHeadConfig, MaskRcnnConfig, RoiConfig, RpnConfig};
pub use decode::RcnnDecoder;
pub use heads::{BoxHead, BoxOutputs, MaskHead};
pub use net::{Rcnn, StageOne};
pub use rpn::{RpnHead, RpnOutputs};

use self::config::EXTRA_LEVELS;
use crate::anchors::one_list_per_level;
use crate::backbone_with_fpn::BackboneWithFpn;
use crate::fpn::FpnConfig;
use crate::host::upload;
use crate::model::{DetectorConfig, DetectorModel, Facts, PredictionLayer};
use crate::postprocess::PostprocessConfig;
use crate::stage::{Outputs, Regions, Stage};
use crate::types::{ImageBatch, Losses, Target};

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

    fn set_first_image(&self, image: usize) {
        self.samples.set_first_image(image);
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

impl DetectorConfig for FasterRcnnConfig {
    fn facts(&self) -> Facts<'_> {
        Facts { name: FASTER_RCNN, title: "Faster R-CNN", has_masks: false, coco_91: self.coco_91, levels: &self.levels }
    }

    fn check_rules(&self, at: &mut Checker) {
        self.rules(at);
    }

    fn check_with(&self, fpn: &FpnConfig, at: &mut Checker) {
        let pyramid = fpn.levels(&self.levels, EXTRA_LEVELS);
        one_list_per_level(at, "head.rpn.anchor_sizes", &self.rpn.anchor_sizes, &pyramid);
    }
}

impl DetectorConfig for MaskRcnnConfig {
    fn facts(&self) -> Facts<'_> {
        Facts { name: MASK_RCNN, title: "Mask R-CNN", has_masks: true, coco_91: self.coco_91, levels: &self.levels }
    }

    fn check_rules(&self, at: &mut Checker) {
        self.rules(at);
    }

    fn check_with(&self, fpn: &FpnConfig, at: &mut Checker) {
        let pyramid = fpn.levels(&self.levels, EXTRA_LEVELS);
        one_list_per_level(at, "head.rpn.anchor_sizes", &self.rpn.anchor_sizes, &pyramid);
    }
}
