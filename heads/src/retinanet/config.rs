//! The keys of a RetinaNet in an experiment file.

use serde::{Deserialize, Serialize};

use crate::anchors::AnchorConfig;
use crate::error::HeadError;
use crate::losses::{BoxLoss, Focal};
use crate::matcher::Matcher;

/// The keys below `model.head` for `name: retinanet`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetinaNetConfig {
    /// Backbone levels below the pyramid (3 has stride 8).
    pub levels: Vec<u32>,
    /// Convolutions in each of the two towers.
    pub tower_depth: usize,
    /// Channels in the towers; unset, as many as the pyramid has.
    pub tower_channels: Option<i64>,
    /// Group normalisation (32 groups) after each tower convolution.
    pub group_norm: bool,
    /// Anchors.
    pub anchors: AnchorConfig,
    /// Weight of present classes in the focal loss.
    pub focal_alpha: f64,
    /// How strongly the focal loss scales easy answers down.
    pub focal_gamma: f64,
    /// Loss of boxes.
    pub box_loss: BoxLoss,
    /// Where the smooth L1 loss turns from squared to absolute.
    pub smooth_l1_beta: f64,
    /// Factor of the box loss in the sum.
    pub box_loss_weight: f64,
    /// From this IoU on an anchor is foreground.
    pub fg_iou: f64,
    /// Below this IoU an anchor is background.
    pub bg_iou: f64,
    /// Score that every anchor starts with for every class.
    pub prior_probability: f64,
    /// Number the head's outputs by COCO's category ids (0 to 90 with gaps), as torchvision's published files do. Needs the 80 classes
    /// of COCO.
    pub coco_91: bool,
}

impl Default for RetinaNetConfig {
    fn default() -> Self {
        Self {
            levels: vec![3, 4, 5],
            tower_depth: 4,
            tower_channels: None,
            group_norm: false,
            anchors: AnchorConfig::default(),
            focal_alpha: 0.25,
            focal_gamma: 2.0,
            box_loss: BoxLoss::L1,
            smooth_l1_beta: 1.0,
            box_loss_weight: 1.0,
            fg_iou: 0.5,
            bg_iou: 0.4,
            prior_probability: 0.01,
            coco_91: false,
        }
    }
}

impl RetinaNetConfig {
    /// Refuses numbers outside their range.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn check(&self) -> Result<(), HeadError> {
        let within = |key, value: f64, low: f64, high: f64, expected| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(HeadError::range(key, value, expected)),
        };
        within("model.head.focal_alpha", self.focal_alpha, 0.0, 1.0, "between 0 and 1")?;
        within("model.head.focal_gamma", self.focal_gamma, 0.0, 100.0, "between 0 and 100")?;
        within("model.head.smooth_l1_beta", self.smooth_l1_beta, 0.0, f64::MAX, "a number from 0")?;
        within("model.head.box_loss_weight", self.box_loss_weight, 0.0, f64::MAX, "a number from 0")?;
        within("model.head.fg_iou", self.fg_iou, 0.0, 1.0, "between 0 and 1")?;
        within("model.head.bg_iou", self.bg_iou, 0.0, self.fg_iou, "between 0 and model.head.fg_iou")?;
        within("model.head.prior_probability", self.prior_probability, 1e-9, 0.5, "between 1e-9 and 0.5")
    }

    pub(super) fn focal(&self) -> Focal {
        Focal { alpha: self.focal_alpha, gamma: self.focal_gamma }
    }

    pub(super) fn matcher(&self) -> Matcher {
        Matcher { high: self.fg_iou as f32, low: self.bg_iou as f32, low_quality: true }
    }
}
