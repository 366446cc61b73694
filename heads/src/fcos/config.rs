//! The keys of FCOS in an experiment file, with torchvision's values.

use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::anchors::AnchorConfig;
use crate::fpn::ExtraLevels;
use crate::losses::Focal;

/// Levels above the backbone's, where `model.fpn.extra_levels` is unset.
pub(super) const EXTRA_LEVELS: ExtraLevels = ExtraLevels::P6p7FromP5;

/// The keys below `model.head` for `name: fcos`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FcosConfig {
    /// Backbone levels below the pyramid (3 has stride 8).
    #[schemars(length(min = 1), inner(range(min = 1, max = 8)))]
    pub levels: Vec<u32>,
    /// Convolutions in each of the two towers.
    #[schemars(range(max = 16))]
    pub tower_depth: usize,
    /// Groups of the group normalisation after each of them; a divisor of `model.fpn.channels`.
    #[schemars(range(min = 1))]
    pub norm_groups: i64,
    /// How far a point may lie from an object's centre to be trained on it: strides of its level, along each axis.
    #[schemars(range(min = 1e-3, max = 1e6), extend("x-unit" = "strides"))]
    pub center_sampling_radius: f64,
    /// Weight of present classes in the focal loss.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub focal_alpha: f64,
    /// How strongly the focal loss scales easy examples down.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub focal_gamma: f64,
    /// Initial probability of every class at every point.
    #[schemars(range(min = 1e-9, max = 0.5))]
    pub prior_probability: f64,
    /// Number the head's outputs by COCO's category ids (0 to 90 with gaps), as torchvision's published file does. Needs the 80 classes
    /// of COCO.
    pub coco_91: bool,
}

impl Default for FcosConfig {
    fn default() -> Self {
        Self {
            levels: vec![3, 4, 5],
            tower_depth: 4,
            norm_groups: 32,
            center_sampling_radius: 1.5,
            focal_alpha: 0.25,
            focal_gamma: 2.0,
            prior_probability: 0.01,
            coco_91: false,
        }
    }
}

impl Check for FcosConfig {
    fn rules(&self, at: &mut Checker) {
        let rising = self.levels.windows(2).all(|l| l[0] < l[1]);
        at.require(rising, "levels", format!("{:?}", self.levels), "levels in rising order");
    }
}

impl FcosConfig {
    /// Few and thin layers, for quick checks.
    pub(crate) fn narrow(&self) -> Self {
        // Eight of 16 channels per group, as 32 groups of 256: two values of nearly one size would magnify any rounding.
        Self { tower_depth: 1, norm_groups: 2, ..self.clone() }
    }

    /// One square per position, as large as its level's stride: its centre is the point.
    pub(super) fn points(&self) -> AnchorConfig {
        AnchorConfig { octave_base_scale: 1.0, scales_per_octave: 1, sizes: None, aspect_ratios: vec![1.0] }
    }

    pub(super) fn focal(&self) -> Focal {
        Focal { alpha: self.focal_alpha, gamma: self.focal_gamma }
    }
}
