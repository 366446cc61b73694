//! RetinaNet: a dense detector on a feature pyramid (Lin et al. 2017, *Focal Loss for Dense Object Detection*).
//!
//! The way of an image: [`BackboneWithFpn`] → [`RetinaNetHead`] → with targets [`loss`], without [`postprocess`].

pub mod config;
pub mod head;
pub mod loss;
pub mod postprocess;

use std::sync::Arc;

use repghost_backbone::{Backbone, Eager, FuseLevel, Ops, Tree, Visitor};
use tch::Tensor;

pub use config::{BoxLossName, RetinaNetConfig};
pub use head::{RawOutputs, RetinaNetHead};
pub use postprocess::{detect_image, Found, PostprocessConfig};

use crate::anchors::{AnchorGenerator, AnchorSet};
use crate::classes::ClassLayout;
use crate::error::HeadError;
use crate::fpn::{ExtraLevels, FpnConfig};
use crate::pyramid_backbone::BackboneWithFpn;
use crate::types::{Detections, ImageBatch, Losses, Target};

/// The detector.
#[derive(Debug)]
pub struct RetinaNet {
    /// Image to pyramid.
    pub backbone: BackboneWithFpn,
    /// Pyramid to raw outputs.
    pub head: RetinaNetHead,
    /// How detections are picked.
    pub postprocess: PostprocessConfig,
    /// Head outputs and classes.
    pub layout: ClassLayout,
    config: RetinaNetConfig,
    anchors: AnchorGenerator,
}

impl RetinaNet {
    /// A detector of `classes` classes with initial weights.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn new(body: Backbone, fpn: &FpnConfig, config: &RetinaNetConfig, classes: i64) -> Result<Self, HeadError> {
        config.check()?;
        let backbone = BackboneWithFpn::new(body, &config.levels, fpn, ExtraLevels::P6p7FromP5)?;
        let anchors = config.anchors.build(backbone.fpn.levels())?;
        let layout = ClassLayout::dense(classes, config.coco_91)?;
        let head = RetinaNetHead::new(backbone.fpn.channels(), anchors.per_location(), layout.outputs(), config)?;
        Ok(Self { backbone, head, postprocess: PostprocessConfig::default(), layout, config: config.clone(), anchors })
    }

    /// Class logits `[N, A, C]` and box offsets `[N, A, 4]`, for any reader.
    pub fn raw<O: Ops>(&self, ops: &mut O, pixels: &O::Value) -> RawOutputs<O::Value> {
        let pyramid = ops.scope("backbone", |ops| self.backbone.forward(ops, pixels));
        ops.scope("head", |ops| self.head.forward(ops, &pyramid))
    }

    /// The anchors that belong to the raw outputs of a padded image of `size` (height, width).
    pub fn anchors(&self, size: [i64; 2]) -> Arc<AnchorSet> {
        self.anchors.anchors(size)
    }

    /// The losses `classification` and `bbox_regression`.
    ///
    /// # Panics
    /// When there are not as many targets as images, or labels are not class indices of this detector.
    pub fn losses(&self, ops: &mut Eager, images: &ImageBatch, targets: &[Target]) -> Losses {
        assert_eq!(images.pixels.size()[0], targets.len() as i64, "one target an image");
        let raw = self.raw(ops, &images.pixels);
        self.losses_of(&raw, padded(&images.pixels), targets)
    }

    /// The same from raw outputs, for images padded to one of `padded` (height, width).
    ///
    /// # Panics
    /// As [`RetinaNet::losses`].
    pub fn losses_of(&self, raw: &RawOutputs<Tensor>, padded: [i64; 2], targets: &[Target]) -> Losses {
        let anchors = self.anchors(padded);
        let config = &self.config;
        let numbered: Vec<Target>;
        let targets = match config.coco_91 {
            true => {
                numbered = targets.iter().map(|t| self.as_outputs(t)).collect();
                &numbered
            }
            false => targets,
        };
        let mut losses = loss::losses(raw, &anchors, targets, &config.matcher(), &config.focal(), &config.box_loss());
        if config.box_loss_weight != 1.0 {
            losses.iter_mut().filter(|l| l.0 == "bbox_regression").for_each(|l| l.1 = &l.1 * config.box_loss_weight);
        }
        losses
    }

    /// What is in the images.
    pub fn detect(&self, images: &ImageBatch) -> Vec<Detections> {
        let _guard = tch::no_grad_guard();
        let raw = self.raw(&mut Eager::eval(), &images.pixels);
        self.detections(&raw, padded(&images.pixels), &images.sizes)
    }

    /// Detections from raw outputs, for images of `sizes` padded to one of `padded` (height, width). Outputs of other runtimes will do.
    pub fn detections(&self, raw: &RawOutputs<Tensor>, padded: [i64; 2], sizes: &[[i64; 2]]) -> Vec<Detections> {
        let found = postprocess::detect(raw, &self.anchors(padded), sizes, &self.postprocess);
        found.into_iter().map(|f| f.of_classes(&self.layout).into_detections()).collect()
    }

    /// A target whose labels are outputs of the head.
    fn as_outputs(&self, target: &Target) -> Target {
        let labels: Vec<i64> = integers(&target.labels).into_iter().map(|class| self.layout.output(class)).collect();
        let labels = Tensor::from_slice(&labels).to_device(target.labels.device());
        Target { boxes: target.boxes.shallow_clone(), labels, masks: None }
    }
}

/// A tensor's integers on the host.
fn integers(t: &Tensor) -> Vec<i64> {
    Vec::<i64>::try_from(t.to_device(tch::Device::Cpu).to_kind(tch::Kind::Int64).reshape([-1])).unwrap_or_default()
}

/// Height and width of a batch.
fn padded(pixels: &Tensor) -> [i64; 2] {
    let size = pixels.size();
    [size[2], size[3]]
}

impl Tree for RetinaNet {
    fn visit(&self, v: &mut Visitor) {
        v.child("backbone", &self.backbone);
        v.child("head", &self.head);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.backbone.fuse(level);
    }
}
