//! What a detector's own module provides: its settings and its networks, as traits.
//!
//! `detector.rs` and `decoder.rs` have the rows that make a detector known. They import the detectors' modules, which import these traits.

use repghost_backbone::{Backbone, Eager, Tree};
use repghost_config::Checker;
use tch::Tensor;

use crate::backbone_with_fpn::BackboneWithFpn;
use crate::fpn::FpnConfig;
use crate::postprocess::PostprocessConfig;
use crate::stage::{Outputs, Regions, Stage};
use crate::types::{ImageBatch, Losses, Target};

/// A layer whose outputs are predictions: the last one of a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PredictionLayer {
    /// Suffix of the stage ([`Stage::suffix`]).
    pub suffix: &'static str,
    /// Name of the stage's output that it gives.
    pub output: &'static str,
    /// Path of the layer.
    pub path: &'static str,
    /// Whether its size depends on the number of classes.
    pub per_class: bool,
}

/// What holds for the settings of every detector.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The value of `model.head.name`.
    pub name: &'static str,
    /// The detector's name in the literature.
    pub title: &'static str,
    /// Whether masks are trained and predicted.
    pub has_masks: bool,
    /// Whether the head's outputs are numbered by COCO's category ids.
    pub coco_91: bool,
    /// Backbone levels below the pyramid.
    pub levels: &'a [u32],
}

/// The settings of one detector.
pub trait DetectorConfig: std::fmt::Debug {
    /// Name, levels and the like.
    fn facts(&self) -> Facts<'_>;

    /// Rules of its [`Check`](repghost_config::Check).
    fn check_rules(&self, at: &mut Checker);

    /// Rules that concern the pyramid too; `at` stands at their common parent, so that keys are `head.…` and `fpn.…`.
    fn check_with(&self, fpn: &FpnConfig, at: &mut Checker);
}

/// The networks of one detector, beside [`Detector::run_stage`](crate::Detector::run_stage).
pub trait DetectorModel: Tree + std::fmt::Debug {
    /// See [`Detector::name`](crate::Detector::name).
    fn name(&self) -> &'static str;

    /// See [`Detector::losses`](crate::Detector::losses).
    fn losses(&self, ops: &mut Eager, images: &ImageBatch, targets: &[Target]) -> Losses;

    /// Outputs of a stage that reads regions, in libtorch. Detectors of one stage have none.
    fn run_regions(&self, stage: &Stage, ops: &mut Eager, regions: &Regions) -> Outputs<Tensor> {
        let _ = (stage, ops, regions);
        Outputs::new()
    }

    /// See [`Detector::set_sampling`](crate::Detector::set_sampling).
    fn set_sampling(&self, seed: u64, batch: u64) {
        let _ = (seed, batch);
    }

    /// See [`Detector::set_first_image`](crate::Detector::set_first_image).
    fn set_first_image(&self, image: usize) {
        let _ = image;
    }

    /// See [`Detector::backbone`](crate::Detector::backbone).
    fn backbone(&self) -> &BackboneWithFpn;

    /// See [`Detector::into_body`](crate::Detector::into_body).
    fn into_body(self: Box<Self>) -> Backbone;

    /// Thresholds and limits of the decoder.
    fn postprocess_mut(&mut self) -> &mut PostprocessConfig;

    /// See [`Detector::prediction_layers`](crate::Detector::prediction_layers).
    fn prediction_layers(&self) -> &'static [PredictionLayer];
}
