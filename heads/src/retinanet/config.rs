//! The keys of a RetinaNet in an experiment file.

use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::anchors::AnchorConfig;
use crate::fpn::ExtraLevels;
use crate::losses::{BoxLoss, Focal};
use crate::matcher::Matcher;

/// Levels above the backbone's, where `model.fpn.extra_levels` is unset.
pub(super) const EXTRA_LEVELS: ExtraLevels = ExtraLevels::P6p7FromP5;

/// The keys below `model.head` for `name: retinanet`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetinaNetConfig {
    /// Backbone levels below the pyramid (3 has stride 8).
    #[schemars(length(min = 1), inner(range(min = 1, max = 8)))]
    pub levels: Vec<u32>,
    /// Convolutions in each of the two towers.
    #[schemars(range(max = 16))]
    pub tower_depth: usize,
    /// Channels in the towers; unset, as many as the pyramid has.
    #[schemars(range(min = 1), extend("x-unit" = "channels"))]
    pub tower_channels: Option<i64>,
    /// Group normalisation (32 groups) after each tower convolution.
    pub group_norm: bool,
    /// Anchors.
    pub anchors: AnchorConfig,
    /// Weight of present classes in the focal loss.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub focal_alpha: f64,
    /// How strongly the focal loss scales easy answers down.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub focal_gamma: f64,
    /// Loss of boxes.
    pub box_loss: BoxLoss,
    /// Where the smooth L1 loss turns from squared to absolute.
    #[schemars(range(min = 0.0))]
    pub smooth_l1_beta: f64,
    /// Factor of the box loss in the sum.
    #[schemars(range(min = 0.0))]
    pub box_loss_weight: f64,
    /// From this IoU on an anchor is foreground.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fg_iou: f64,
    /// Below this IoU an anchor is background.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub bg_iou: f64,
    /// Score that every anchor starts with for every class.
    #[schemars(range(min = 1e-9, max = 0.5))]
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

impl Check for RetinaNetConfig {
    fn rules(&self, at: &mut Checker) {
        at.part("anchors", &self.anchors);
        at.require(self.bg_iou <= self.fg_iou, "bg_iou", self.bg_iou, format!("at most {} ({})", at.key("fg_iou"), self.fg_iou));
        let rising = self.levels.windows(2).all(|l| l[0] < l[1]);
        at.require(rising, "levels", format!("{:?}", self.levels), "levels in rising order");
        if let Some(channels) = self.tower_channels.filter(|_| self.group_norm) {
            at.require(channels % 32 == 0, "tower_channels", channels, "a multiple of 32, which group_norm needs");
        }
    }
}

impl RetinaNetConfig {
    /// Few and thin layers, for quick checks.
    pub(crate) fn narrow(&self) -> Self {
        Self { tower_depth: 1, ..self.clone() }
    }

    pub(super) fn focal(&self) -> Focal {
        Focal { alpha: self.focal_alpha, gamma: self.focal_gamma }
    }

    pub(super) fn matcher(&self) -> Matcher {
        Matcher { high: self.fg_iou as f32, low: self.bg_iou as f32, low_quality: true }
    }
}
