//! The keys of Faster and Mask R-CNN in an experiment file, in torchvision's terms and with its values.

use serde::{Deserialize, Serialize};

use crate::anchors::AnchorConfig;
use crate::error::HeadError;
use crate::matcher::Matcher;

/// What Faster and Mask R-CNN have in common: the keys below `model.head` for `name: faster_rcnn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FasterRcnnConfig {
    /// Backbone levels below the pyramid (2 has stride 4). Regions are pooled from these, proposals come from one level more.
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskRcnnConfig {
    /// Backbone levels below the pyramid (2 has stride 4). Regions are pooled from these, proposals come from one level more.
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
    /// The part that is not about masks.
    pub fn faster(&self) -> FasterRcnnConfig {
        let Self { levels, rpn, roi, box_head, mask_head: _, coco_91 } = self.clone();
        FasterRcnnConfig { levels, rpn, roi, box_head, coco_91 }
    }
}

/// The keys below `model.head.rpn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpnConfig {
    /// 3x3 convolutions before the two predictions (torchvision's v2 model has 2).
    pub conv_depth: usize,
    /// Anchor sizes in units of a level's stride (8 gives 32, 64, 128, 256, 512 on P2 to P6).
    pub anchor_scale: f64,
    /// Anchor sizes in pixels for each level, instead of `anchor_scale`.
    pub anchor_sizes: Option<Vec<Vec<f64>>>,
    /// Height over width of anchors.
    pub aspect_ratios: Vec<f64>,
    /// Best anchors of each level before NMS, in training.
    pub pre_nms_top_n_train: usize,
    /// The same in inference.
    pub pre_nms_top_n_test: usize,
    /// Proposals per image after NMS, in training.
    pub post_nms_top_n_train: usize,
    /// The same in inference.
    pub post_nms_top_n_test: usize,
    /// IoU above which proposals of one level exclude each other.
    pub nms_thresh: f64,
    /// From this IoU on an anchor is foreground.
    pub fg_iou_thresh: f64,
    /// Below this IoU an anchor is background.
    pub bg_iou_thresh: f64,
    /// Anchors per image that take part in the loss.
    pub batch_size_per_image: usize,
    /// Share of foreground among them, at most.
    pub positive_fraction: f64,
    /// Objectness that a proposal needs.
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RoiConfig {
    /// From this IoU on a proposal is foreground.
    pub fg_iou_thresh: f64,
    /// Below this IoU a proposal is background.
    pub bg_iou_thresh: f64,
    /// Proposals per image that are trained.
    pub batch_size_per_image: usize,
    /// Share of foreground among them, at most.
    pub positive_fraction: f64,
    /// Factors of dx, dy, dw, dh.
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BoxHeadConfig {
    /// Bins per side that regions are pooled to.
    pub pool: usize,
    /// Channels of 3x3 convolutions (torchvision's v2 model has four of 256, the first model none).
    pub convs: Vec<i64>,
    /// Batch norm after each convolution (torchvision's v2 model).
    pub norm: bool,
    /// Widths of fully connected layers (torchvision's v2 model has one of 1024).
    pub fcs: Vec<i64>,
}

impl Default for BoxHeadConfig {
    fn default() -> Self {
        Self { pool: 7, convs: Vec::new(), norm: false, fcs: vec![1024, 1024] }
    }
}

/// The keys below `model.head.mask_head`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskHeadConfig {
    /// Bins per side that regions are pooled to; masks have twice as many.
    pub pool: usize,
    /// Channels of 3x3 convolutions.
    pub convs: Vec<i64>,
    /// Batch norm after each convolution (torchvision's v2 model).
    pub norm: bool,
    /// Channels of the transposed convolution.
    pub deconv: i64,
}

impl Default for MaskHeadConfig {
    fn default() -> Self {
        Self { pool: 14, convs: vec![256; 4], norm: false, deconv: 256 }
    }
}

impl FasterRcnnConfig {
    /// Refuses numbers outside their range.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn check(&self) -> Result<(), HeadError> {
        let fraction = |key, value: f64| match (0.0..=1.0).contains(&value) {
            true => Ok(()),
            false => Err(HeadError::range(key, value, "between 0 and 1")),
        };
        let below = |key, value: f64, high: f64, expected| match value <= high {
            true => fraction(key, value),
            false => Err(HeadError::range(key, value, expected)),
        };
        let (rpn, roi) = (&self.rpn, &self.roi);
        if self.levels.windows(2).any(|l| l[1] != l[0] + 1) {
            let found = format!("{:?}", self.levels);
            return Err(HeadError::range("model.head.levels", found, "a run of levels without gaps, which pooling needs"));
        }
        fraction("model.head.rpn.nms_thresh", rpn.nms_thresh)?;
        fraction("model.head.rpn.fg_iou_thresh", rpn.fg_iou_thresh)?;
        below("model.head.rpn.bg_iou_thresh", rpn.bg_iou_thresh, rpn.fg_iou_thresh, "at most model.head.rpn.fg_iou_thresh")?;
        fraction("model.head.rpn.positive_fraction", rpn.positive_fraction)?;
        fraction("model.head.rpn.score_thresh", rpn.score_thresh)?;
        positive("model.head.rpn.batch_size_per_image", rpn.batch_size_per_image)?;
        fraction("model.head.roi.fg_iou_thresh", roi.fg_iou_thresh)?;
        below("model.head.roi.bg_iou_thresh", roi.bg_iou_thresh, roi.fg_iou_thresh, "at most model.head.roi.fg_iou_thresh")?;
        fraction("model.head.roi.positive_fraction", roi.positive_fraction)?;
        positive("model.head.roi.batch_size_per_image", roi.batch_size_per_image)?;
        if !roi.bbox_reg_weights.iter().all(|w| w.is_finite() && *w > 0.0) {
            let found = format!("{:?}", roi.bbox_reg_weights);
            return Err(HeadError::range("model.head.roi.bbox_reg_weights", found, "four positive numbers"));
        }
        positive("model.head.box_head.pool", self.box_head.pool)?;
        positive("model.head.box_head.fcs", self.box_head.fcs.len())?;
        widths("model.head.box_head.convs", &self.box_head.convs)?;
        widths("model.head.box_head.fcs", &self.box_head.fcs)
    }
}

impl MaskRcnnConfig {
    /// Refuses numbers outside their range.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn check(&self) -> Result<(), HeadError> {
        self.faster().check()?;
        positive("model.head.mask_head.pool", self.mask_head.pool)?;
        widths("model.head.mask_head.convs", &self.mask_head.convs)?;
        widths("model.head.mask_head.deconv", &[self.mask_head.deconv])
    }
}

fn positive(key: &'static str, value: usize) -> Result<(), HeadError> {
    match value > 0 {
        true => Ok(()),
        false => Err(HeadError::range(key, value, "positive")),
    }
}

fn widths(key: &'static str, values: &[i64]) -> Result<(), HeadError> {
    match values.iter().all(|v| *v > 0) {
        true => Ok(()),
        false => Err(HeadError::range(key, format!("{values:?}"), "a list of positive numbers")),
    }
}
