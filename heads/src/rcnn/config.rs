//! The keys of Faster and Mask R-CNN in an experiment file, in torchvision's terms and with its values.

use repghost_config::{items_above_zero, Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::anchors::{same_lengths, AnchorConfig};
use crate::fpn::ExtraLevels;
use crate::matcher::Matcher;

/// Levels above the backbone's, where `model.fpn.extra_levels` is unset.
pub(super) const EXTRA_LEVELS: ExtraLevels = ExtraLevels::MaxPool;

/// What Faster and Mask R-CNN have in common: the keys below `model.head` for `name: faster_rcnn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FasterRcnnConfig {
    /// Backbone levels below the pyramid (2 has stride 4). Regions are pooled from these, proposals come from one level more. A level that the
    /// backbone taps twice stands twice (`[5, 5]` with `model.backbone.taps: torchvision`).
    #[schemars(length(min = 1), inner(range(min = 1, max = 8)))]
    pub levels: Vec<u32>,
    /// Region proposal network.
    pub rpn: RpnConfig,
    /// Training samples of the second stage.
    pub roi: RoiConfig,
    /// Second stage: classes and boxes.
    pub box_head: BoxHeadConfig,
    /// Number the head's classes by COCO's category ids (1 to 90 with gaps), as torchvision's published files do. Needs the 80
    /// classes of COCO.
    pub coco_91: bool,
}

impl FasterRcnnConfig {
    /// Levels that regions are pooled from: of a level that stands twice the first map, as torchvision's `MultiScaleRoIAlign` takes it.
    pub fn pooled_levels(&self) -> Vec<u32> {
        let mut levels = self.levels.clone();
        levels.dedup();
        levels
    }

    /// Few and thin layers, for quick checks.
    pub(crate) fn narrow(&self) -> Self {
        Self {
            rpn: RpnConfig { pre_nms_top_n_test: 120, post_nms_top_n_test: 60, ..self.rpn.clone() },
            box_head: BoxHeadConfig { fcs: vec![32], ..self.box_head.clone() },
            ..self.clone()
        }
    }
}

impl Default for FasterRcnnConfig {
    fn default() -> Self {
        Self {
            levels: vec![2, 3, 4, 5],
            rpn: RpnConfig::default(),
            roi: RoiConfig::default(),
            box_head: BoxHeadConfig::default(),
            coco_91: false,
        }
    }
}

/// The keys below `model.head` for `name: mask_rcnn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MaskRcnnConfig {
    /// Backbone levels below the pyramid (2 has stride 4). Regions are pooled from these, proposals come from one level more. A level that the
    /// backbone taps twice stands twice (`[5, 5]` with `model.backbone.taps: torchvision`).
    #[schemars(length(min = 1), inner(range(min = 1, max = 8)))]
    pub levels: Vec<u32>,
    /// Region proposal network.
    pub rpn: RpnConfig,
    /// Training samples of the second stage.
    pub roi: RoiConfig,
    /// Second stage: classes and boxes.
    pub box_head: BoxHeadConfig,
    /// Second stage: masks.
    pub mask_head: MaskHeadConfig,
    /// Number the head's classes by COCO's category ids (1 to 90 with gaps), as torchvision's published files do. Needs the 80
    /// classes of COCO.
    pub coco_91: bool,
}

impl Default for MaskRcnnConfig {
    fn default() -> Self {
        let FasterRcnnConfig { levels, rpn, roi, box_head, coco_91 } = FasterRcnnConfig::default();
        Self { levels, rpn, roi, box_head, mask_head: MaskHeadConfig::default(), coco_91 }
    }
}

impl MaskRcnnConfig {
    /// Few and thin layers, for quick checks.
    pub(crate) fn narrow(&self) -> Self {
        let FasterRcnnConfig { levels, rpn, roi, box_head, coco_91 } = self.faster().narrow();
        let mask_head = MaskHeadConfig { convs: vec![16], deconv: 16, ..self.mask_head.clone() };
        Self { levels, rpn, roi, box_head, mask_head, coco_91 }
    }

    /// The part that is not about masks.
    pub fn faster(&self) -> FasterRcnnConfig {
        let Self { levels, rpn, roi, box_head, mask_head: _, coco_91 } = self.clone();
        FasterRcnnConfig { levels, rpn, roi, box_head, coco_91 }
    }
}

/// The keys below `model.head.rpn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RpnConfig {
    /// 3x3 convolutions before the two predictions (torchvision's v2 model has 2).
    #[schemars(range(max = 16))]
    pub conv_depth: usize,
    /// Anchor sizes in units of a level's stride (8 gives 32, 64, 128, 256, 512 on P2 to P6).
    #[schemars(extend("exclusiveMinimum" = 0, "x-unit" = "strides"))]
    pub anchor_scale: f64,
    /// Anchor sizes in pixels for each level, instead of `anchor_scale`.
    #[schemars(transform = items_above_zero, extend("x-unit" = "pixels"))]
    pub anchor_sizes: Option<Vec<Vec<f64>>>,
    /// Height over width of anchors.
    #[schemars(length(min = 1), transform = items_above_zero)]
    pub aspect_ratios: Vec<f64>,
    /// Best anchors of each level before NMS, in training.
    #[schemars(range(min = 1))]
    pub pre_nms_top_n_train: usize,
    /// The same in inference.
    #[schemars(range(min = 1))]
    pub pre_nms_top_n_test: usize,
    /// Proposals per image after NMS, in training.
    #[schemars(range(min = 1))]
    pub post_nms_top_n_train: usize,
    /// The same in inference.
    #[schemars(range(min = 1))]
    pub post_nms_top_n_test: usize,
    /// IoU above which proposals of one level exclude each other.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub nms_thresh: f64,
    /// From this IoU on an anchor is foreground.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fg_iou_thresh: f64,
    /// Below this IoU an anchor is background.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub bg_iou_thresh: f64,
    /// Anchors per image that take part in the loss.
    #[schemars(range(min = 1))]
    pub batch_size_per_image: usize,
    /// Share of foreground among them, at most.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub positive_fraction: f64,
    /// Objectness that a proposal needs.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub score_thresh: f64,
}

impl Default for RpnConfig {
    fn default() -> Self {
        Self {
            conv_depth: 1,
            anchor_scale: 8.0,
            anchor_sizes: None,
            aspect_ratios: vec![0.5, 1.0, 2.0],
            pre_nms_top_n_train: 2000,
            pre_nms_top_n_test: 1000,
            post_nms_top_n_train: 2000,
            post_nms_top_n_test: 1000,
            nms_thresh: 0.7,
            fg_iou_thresh: 0.7,
            bg_iou_thresh: 0.3,
            batch_size_per_image: 256,
            positive_fraction: 0.5,
            score_thresh: 0.0,
        }
    }
}

impl RpnConfig {
    pub(super) fn anchors(&self) -> AnchorConfig {
        AnchorConfig {
            octave_base_scale: self.anchor_scale,
            scales_per_octave: 1,
            sizes: self.anchor_sizes.clone(),
            aspect_ratios: self.aspect_ratios.clone(),
        }
    }

    pub(super) fn matcher(&self) -> Matcher {
        Matcher { high: self.fg_iou_thresh as f32, low: self.bg_iou_thresh as f32, low_quality: true }
    }

    pub(super) fn top_n(&self, train: bool) -> (usize, usize) {
        match train {
            true => (self.pre_nms_top_n_train, self.post_nms_top_n_train),
            false => (self.pre_nms_top_n_test, self.post_nms_top_n_test),
        }
    }
}

/// The keys below `model.head.roi`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoiConfig {
    /// From this IoU on a proposal is foreground.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fg_iou_thresh: f64,
    /// Below this IoU a proposal is background.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub bg_iou_thresh: f64,
    /// Proposals per image that are trained.
    #[schemars(range(min = 1))]
    pub batch_size_per_image: usize,
    /// Share of foreground among them, at most.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub positive_fraction: f64,
    /// Factors of dx, dy, dw, dh.
    #[schemars(transform = items_above_zero)]
    pub bbox_reg_weights: [f32; 4],
    /// Bilinear samples of a bin along each axis; 0 takes as many as the bin has pixels.
    pub sampling_ratio: usize,
}

impl Default for RoiConfig {
    fn default() -> Self {
        Self {
            fg_iou_thresh: 0.5,
            bg_iou_thresh: 0.5,
            batch_size_per_image: 512,
            positive_fraction: 0.25,
            bbox_reg_weights: [10.0, 10.0, 5.0, 5.0],
            sampling_ratio: 2,
        }
    }
}

impl RoiConfig {
    pub(super) fn matcher(&self) -> Matcher {
        Matcher { high: self.fg_iou_thresh as f32, low: self.bg_iou_thresh as f32, low_quality: false }
    }
}

/// The keys below `model.head.box_head`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BoxHeadConfig {
    /// Bins per side that regions are pooled to.
    #[schemars(range(min = 1))]
    pub pool: usize,
    /// Channels of 3x3 convolutions (torchvision's v2 model has four of 256, the first model none).
    #[schemars(transform = items_above_zero, extend("x-unit" = "channels"))]
    pub convs: Vec<i64>,
    /// Batch norm after each convolution (torchvision's v2 model).
    pub norm: bool,
    /// Widths of fully connected layers (torchvision's v2 model has one of 1024).
    #[schemars(length(min = 1), transform = items_above_zero, extend("x-unit" = "channels"))]
    pub fcs: Vec<i64>,
}

impl Default for BoxHeadConfig {
    fn default() -> Self {
        Self { pool: 7, convs: Vec::new(), norm: false, fcs: vec![1024, 1024] }
    }
}

/// The keys below `model.head.mask_head`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MaskHeadConfig {
    /// Bins per side that regions are pooled to; masks have twice as many.
    #[schemars(range(min = 1))]
    pub pool: usize,
    /// Channels of 3x3 convolutions.
    #[schemars(transform = items_above_zero, extend("x-unit" = "channels"))]
    pub convs: Vec<i64>,
    /// Batch norm after each convolution (torchvision's v2 model).
    pub norm: bool,
    /// Channels of the transposed convolution.
    #[schemars(range(min = 1), extend("x-unit" = "channels"))]
    pub deconv: i64,
}

impl Default for MaskHeadConfig {
    fn default() -> Self {
        Self { pool: 14, convs: vec![256; 4], norm: false, deconv: 256 }
    }
}

impl Check for FasterRcnnConfig {
    fn rules(&self, at: &mut Checker) {
        let last = self.levels.last().copied();
        let gapless = self.levels.windows(2).all(|l| l[1] == l[0] + 1 || (l[1] == l[0] && Some(l[0]) == last));
        at.require(gapless, "levels", format!("{:?}", self.levels), "a run of levels without gaps, which pooling needs");
        at.part("rpn", &self.rpn);
        at.part("roi", &self.roi);
    }
}

impl Check for MaskRcnnConfig {
    fn rules(&self, at: &mut Checker) {
        self.faster().rules(at);
    }
}

impl Check for RpnConfig {
    fn rules(&self, at: &mut Checker) {
        background_below_foreground(at, self.bg_iou_thresh, self.fg_iou_thresh);
        same_lengths(at, "anchor_sizes", &self.anchor_sizes);
    }
}

impl Check for RoiConfig {
    fn rules(&self, at: &mut Checker) {
        background_below_foreground(at, self.bg_iou_thresh, self.fg_iou_thresh);
    }
}

fn background_below_foreground(at: &mut Checker, background: f64, foreground: f64) {
    let expected = format!("at most {} ({foreground})", at.key("fg_iou_thresh"));
    at.require(background <= foreground, "bg_iou_thresh", background, expected);
}
