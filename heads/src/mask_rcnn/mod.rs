//! Mask R-CNN (He et al., 2017): proposals first, then a class, a box and a mask for each.
//!
//! | stage | module | in | out |
//! |---|---|---|---|
//! | 1 | [`rpn`] | pyramid | objectness and offsets at every anchor |
//! |   | [`proposals`] | those | a thousand boxes an image |
//! | 2 | [`crate::roi_align`] | pyramid, boxes | features on a fixed grid |
//! |   | [`heads`] | those | classes, boxes, masks |
//! |   | [`postprocess`], [`paste`] | those | detections; masks in the image |
//! | training | [`sampler`], `targets`, `mask_targets`, `losses`, `early_backward` | objects | five losses |
//!
//! Semantics and names are torchvision's. What is a network is generic over [`Ops`] ([`MaskRcnn::stage_one`],
//! [`MaskRcnn::box_stage`], [`MaskRcnn::mask_stage`]); what lies between is plain Rust.

pub mod config;
mod early_backward;
pub mod heads;
mod losses;
mod mask_targets;
pub mod paste;
pub mod postprocess;
pub mod proposals;
pub mod rpn;
pub mod sampler;
mod targets;

use std::sync::Arc;

use rayon::prelude::*;
use repghost_backbone::{Backbone, Eager, FuseLevel, Ops, Tree, Visitor};
use tch::{Kind, Tensor};

pub use config::{BoxHeadConfig, MaskHeadConfig, MaskRcnnConfig, RoiConfig, RpnConfig};
pub use heads::{BoxHead, BoxOutputs, MaskHead};
pub use rpn::{RpnHead, RpnOutputs};

use crate::anchors::{AnchorGenerator, AnchorSet};
use crate::box_coder::{BoxCoder, Corners};
use crate::boxes::from_corners;
pub use crate::classes::ClassLayout;
use crate::error::HeadError;
use crate::fpn::{ExtraLevels, FpnConfig};
use crate::pyramid_backbone::BackboneWithFpn;
use crate::roi_align::MultiScaleRoiAlign;
use crate::types::{Detections, ImageBatch, Losses, Target};
use early_backward::sum_of_parts;
use mask_targets::{mask_targets, Crop, Wanted};
use postprocess::{FoundBoxes, Limits};
use proposals::Proposals;
use sampler::{Balance, SampleStream};
use targets::{sample_anchors, sample_rois, Objects, RoiSamples};

/// Regions that pass the mask head together in training. Each holds about 2.5 MB there at 256 channels.
const REGIONS_AT_ONCE: i64 = 32;

/// The detector.
#[derive(Debug)]
pub struct MaskRcnn {
    /// Image to pyramid.
    pub backbone: BackboneWithFpn,
    /// Pyramid to anchors' outputs.
    pub rpn: RpnHead,
    /// Pooled regions to classes and boxes.
    pub box_head: BoxHead,
    /// Pooled regions to masks.
    pub mask_head: MaskHead,
    /// How detections are picked.
    pub limits: Limits,
    /// Which samples are trained. A trainer sets it at its start and when it resumes.
    pub samples: SampleStream,
    /// Head outputs and classes.
    pub layout: ClassLayout,
    config: MaskRcnnConfig,
    anchors: AnchorGenerator,
    coder: BoxCoder,
    box_pool: MultiScaleRoiAlign,
    mask_pool: MultiScaleRoiAlign,
}

/// What the first stage gives.
#[derive(Debug)]
pub struct StageOne<V> {
    /// One map a level, fine to coarse; the last one is for proposals only.
    pub pyramid: Vec<V>,
    /// Outputs at the anchors.
    pub rpn: RpnOutputs<V>,
}

impl MaskRcnn {
    /// A detector of `classes` classes with initial weights, drawn from torch's global generator.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn new(body: Backbone, fpn: &FpnConfig, config: &MaskRcnnConfig, classes: i64) -> Result<Self, HeadError> {
        config.check()?;
        let layout = ClassLayout::new(classes, config.coco_91)?;
        let backbone = BackboneWithFpn::new(body, &config.levels, fpn, ExtraLevels::MaxPool)?;
        let anchors = config.rpn.anchors().build(backbone.fpn.levels())?;
        let (channels, outputs) = (backbone.fpn.channels(), layout.outputs());
        let pool = |bins| MultiScaleRoiAlign::new(&config.levels, bins, config.roi.sampling_ratio);
        Ok(Self {
            rpn: RpnHead::new(channels, anchors.per_location() as i64, config.rpn.conv_depth),
            box_head: BoxHead::new(channels, outputs, &config.box_head),
            mask_head: MaskHead::new(channels, outputs, &config.mask_head),
            limits: Limits { score: 0.05, iou: 0.5, count: 100 },
            samples: SampleStream::default(),
            coder: BoxCoder { weights: config.roi.bbox_reg_weights },
            box_pool: pool(config.box_head.pool),
            mask_pool: pool(config.mask_head.pool),
            config: config.clone(),
            backbone,
            layout,
            anchors,
        })
    }

    /// Settings it was made from.
    pub fn config(&self) -> &MaskRcnnConfig {
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

    /// Regions `[K, C, 14, 14]` to mask logits `[K, outputs, 28, 28]`, for any reader.
    pub fn mask_stage<O: Ops>(&self, ops: &mut O, pooled: &O::Value) -> O::Value {
        ops.scope("roi_heads", |ops| self.mask_head.forward(ops, pooled))
    }

    /// The anchors that belong to the first stage's outputs for a padded image of `size` (height, width).
    pub fn anchors(&self, size: [i64; 2]) -> Arc<AnchorSet> {
        self.anchors.anchors(size)
    }

    /// Proposals of a batch whose padded images have the height and width `padded`. Outputs of other runtimes will do.
    pub fn propose(&self, rpn: &RpnOutputs<Tensor>, padded: [i64; 2], sizes: &[[i64; 2]], train: bool) -> Vec<Proposals> {
        proposals::propose(rpn, &self.anchors(padded), sizes, &self.config.rpn, train)
    }

    /// Regions to what the box head reads, `[K, C, 7, 7]`, image by image.
    pub fn pool_boxes(&self, pyramid: &[Tensor], boxes: &[Vec<Corners>]) -> Tensor {
        self.box_pool.pool(&self.pooled_maps(pyramid), boxes)
    }

    /// Regions to what the mask head reads, `[K, C, 14, 14]`, image by image.
    pub fn pool_masks(&self, pyramid: &[Tensor], boxes: &[Vec<Corners>]) -> Tensor {
        self.mask_pool.pool(&self.pooled_maps(pyramid), boxes)
    }

    fn pooled_maps<'a>(&self, pyramid: &'a [Tensor]) -> Vec<&'a Tensor> {
        pyramid.iter().take(self.config.levels.len()).collect()
    }

    /// The losses `loss_objectness`, `loss_rpn_box_reg`, `loss_classifier`, `loss_box_reg` and `loss_mask`. Objects of images without
    /// masks are left out of the last one.
    ///
    /// # Panics
    /// When there are not as many targets as images, or labels are not class indices of this detector.
    pub fn losses(&self, ops: &mut Eager, images: &ImageBatch, targets: &[Target]) -> Losses {
        assert_eq!(images.pixels.size()[0], targets.len() as i64, "one target an image");
        let choice = self.samples.next();
        let (rpn, roi) = (&self.config.rpn, &self.config.roi);
        let objects: Vec<Objects> = targets.iter().map(|t| Objects::new(t, &self.layout)).collect();

        let StageOne { pyramid, rpn: raw } = self.stage_one(ops, &images.pixels);
        let anchors = self.anchors(padded(&images.pixels));
        let balance = Balance { total: rpn.batch_size_per_image, positive: rpn.positive_fraction };
        let matcher = rpn.matcher();
        let sampled: Vec<_> =
            objects.par_iter().enumerate().map(|(i, o)| sample_anchors(o, &anchors, &matcher, balance, choice, i)).collect();
        let (objectness, rpn_box) = losses::rpn_losses(&raw, &sampled);

        let proposals = proposals::propose(&raw, &anchors, &images.sizes, rpn, true);
        let balance = Balance { total: roi.batch_size_per_image, positive: roi.positive_fraction };
        let (matcher, coder) = (roi.matcher(), self.coder);
        let sampled: Vec<RoiSamples> = proposals
            .into_par_iter()
            .zip(&objects)
            .enumerate()
            .map(|(i, (p, o))| sample_rois(o, p.boxes, &matcher, &coder, balance, choice, i))
            .collect();
        let (classifier, box_reg) = self.train_boxes(ops, &pyramid, &sampled);
        let mask = self.train_masks(ops, &pyramid, &sampled, images, targets);
        vec![
            ("loss_objectness", objectness),
            ("loss_rpn_box_reg", rpn_box),
            ("loss_classifier", classifier),
            ("loss_box_reg", box_reg),
            ("loss_mask", mask),
        ]
    }

    fn train_boxes(&self, ops: &mut Eager, pyramid: &[Tensor], samples: &[RoiSamples]) -> (Tensor, Tensor) {
        let boxes: Vec<Vec<Corners>> = samples.iter().map(|s| s.boxes.clone()).collect();
        if self.box_head.has_norm() && boxes.iter().all(Vec::is_empty) {
            return (zero(pyramid), zero(pyramid));
        }
        let raw = self.box_stage(ops, &self.pool_boxes(pyramid, &boxes));
        losses::box_losses(&raw, samples)
    }

    fn train_masks(
        &self,
        ops: &mut Eager,
        pyramid: &[Tensor],
        samples: &[RoiSamples],
        images: &ImageBatch,
        targets: &[Target],
    ) -> Tensor {
        let mut boxes = vec![Vec::new(); samples.len()];
        let (mut outputs, mut wanted, mut crops) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (sample, target)) in samples.iter().zip(targets).enumerate() {
            let Some(masks) = &target.masks else { continue };
            let mut crop_of = vec![None; masks.len()];
            for (row, object, _) in &sample.positive {
                let Some(mask) = masks.get(*object) else { continue };
                let crop = *crop_of[*object].get_or_insert_with(|| {
                    crops.push(Crop::new(mask));
                    crops.len() - 1
                });
                wanted.push(Wanted { bbox: sample.boxes[*row], mask: crop, image: images.sizes[i] });
                outputs.push(sample.outputs[*row]);
                boxes[i].push(sample.boxes[*row]);
            }
        }
        if self.mask_head.has_norm() && wanted.is_empty() {
            return zero(pyramid);
        }
        let targets = mask_targets(&wanted, &crops, 2 * self.config.mask_head.pool);
        let pooled = self.pool_masks(pyramid, &boxes);
        let outputs = Tensor::from_slice(&outputs).to_device(pooled.device());
        if wanted.is_empty() {
            // The head runs on an empty batch, so that its parameters get gradients of zero.
            let logits = ops.scope("roi_heads", |ops| self.mask_head.forward_of(ops, &pooled, &outputs));
            return losses::mask_loss(&logits, &targets);
        }
        // Batch statistics are those of all regions, so a head with norms cannot be split.
        let n = wanted.len() as i64;
        let rows = if self.mask_head.has_norm() { n } else { REGIONS_AT_ONCE };
        let learned = self.mask_head.named_tensors().into_iter().map(|e| e.tensor).filter(Tensor::requires_grad).collect();
        sum_of_parts(&pooled, rows, learned, |part, start| {
            let len = part.size()[0];
            let outputs = outputs.narrow(0, start, len);
            let logits = ops.scope("roi_heads", |ops| self.mask_head.forward_of(ops, part, &outputs));
            losses::mask_loss(&logits, &targets.narrow(0, start, len)) * (len as f64 / n as f64)
        })
    }

    /// Mask logits `[K, 28, 28]` of regions, each for its own output.
    fn mask_logits(&self, ops: &mut Eager, pyramid: &[Tensor], boxes: &[Vec<Corners>], outputs: &[i64]) -> Tensor {
        let pooled = self.pool_masks(pyramid, boxes);
        let outputs = Tensor::from_slice(outputs).to_device(pooled.device());
        ops.scope("roi_heads", |ops| self.mask_head.forward_of(ops, &pooled, &outputs))
    }

    /// What is in the images.
    pub fn detect(&self, images: &ImageBatch) -> Vec<Detections> {
        let _guard = tch::no_grad_guard();
        let ops = &mut Eager::eval();
        let StageOne { pyramid, rpn } = self.stage_one(ops, &images.pixels);
        let proposals = self.propose(&rpn, padded(&images.pixels), &images.sizes, false);
        let boxes: Vec<Vec<Corners>> = proposals.into_iter().map(|p| p.boxes).collect();
        let raw = self.box_stage(ops, &self.pool_boxes(&pyramid, &boxes));
        let found = self.find_boxes(&raw, &boxes, &images.sizes);
        let boxes: Vec<Vec<Corners>> = found.iter().map(|f| f.boxes.clone()).collect();
        let outputs: Vec<i64> = found.iter().flat_map(|f| f.outputs.iter().copied()).collect();
        let masks = self.mask_logits(ops, &pyramid, &boxes, &outputs).sigmoid().to_kind(Kind::Float);
        self.detections(&found, &masks)
    }

    /// Boxes from the box head's outputs. Outputs of other runtimes will do.
    pub fn find_boxes(&self, raw: &BoxOutputs<Tensor>, proposals: &[Vec<Corners>], sizes: &[[i64; 2]]) -> Vec<FoundBoxes> {
        postprocess::find_boxes(raw, proposals, sizes, &self.layout, &self.coder, self.limits)
    }

    /// Puts boxes and their mask probabilities `[K, 28, 28]` (image by image) together.
    pub fn detections(&self, found: &[FoundBoxes], masks: &Tensor) -> Vec<Detections> {
        let mut start = 0;
        let mut one = |f: &FoundBoxes| {
            let n = f.boxes.len() as i64;
            let labels: Vec<i64> = f.outputs.iter().filter_map(|o| self.layout.class(*o as usize)).collect();
            start += n;
            Detections {
                boxes: from_corners(&f.boxes),
                scores: Tensor::from_slice(&f.scores),
                labels: Tensor::from_slice(&labels),
                masks: Some(masks.narrow(0, start - n, n).to_device(tch::Device::Cpu)),
            }
        };
        found.iter().map(&mut one).collect()
    }
}

/// Height and width of a batch.
fn padded(pixels: &Tensor) -> [i64; 2] {
    let size = pixels.size();
    [size[2], size[3]]
}

/// A loss of zero where a stage had nothing to learn from.
fn zero(pyramid: &[Tensor]) -> Tensor {
    Tensor::zeros([], (Kind::Float, pyramid.first().map_or(tch::Device::Cpu, Tensor::device)))
}

impl Tree for MaskRcnn {
    fn visit(&self, v: &mut Visitor) {
        v.child("backbone", &self.backbone);
        v.child("rpn.head", &self.rpn);
        v.within("roi_heads", |v| {
            self.box_head.visit(v);
            self.mask_head.visit(v);
        });
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.backbone.fuse(level);
        self.box_head.fuse(level);
        self.mask_head.fuse(level);
    }
}
