//! The keys of FCOS in an experiment file, with torchvision's values.

use serde::{Deserialize, Serialize};

use crate::anchors::AnchorConfig;
use crate::error::HeadError;
use crate::losses::Focal;

/// The keys below `model.head` for `name: fcos`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FcosConfig {
    /// Backbone levels below the pyramid (3 has stride 8).
    pub levels: Vec<u32>,
    /// Convolutions in each of the two towers.
    pub tower_depth: usize,
    /// Groups of the group normalisation after each of them; a divisor of `model.fpn.channels`.
    pub norm_groups: i64,
    /// How far a point may lie from an object's centre to be trained on it: strides of its level, along each axis.
    pub center_sampling_radius: f64,
    /// Weight of present classes in the focal loss.
    pub focal_alpha: f64,
    /// How strongly the focal loss scales easy examples down.
    pub focal_gamma: f64,
    /// Initial probability of every class at every point.
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

impl FcosConfig {
    /// Refuses numbers outside their range.
    ///
    /// # Errors
    /// The first key that is wrong.
    pub fn check(&self) -> Result<(), HeadError> {
        let within = |key, value: f64, low: f64, high: f64, expected| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(HeadError::range(key, value, expected)),
        };
        if self.norm_groups < 1 {
            return Err(HeadError::range("model.head.norm_groups", self.norm_groups, "positive"));
        }
        within("model.head.center_sampling_radius", self.center_sampling_radius, 1e-3, 1e6, "between 0.001 and 1e6")?;
        within("model.head.focal_alpha", self.focal_alpha, 0.0, 1.0, "between 0 and 1")?;
        within("model.head.focal_gamma", self.focal_gamma, 0.0, 100.0, "between 0 and 100")?;
        within("model.head.prior_probability", self.prior_probability, 1e-9, 0.5, "between 1e-9 and 0.5")
    }

    /// One square per position, as large as its level's stride: its centre is the point.
    pub(super) fn points(&self) -> AnchorConfig {
        AnchorConfig { octave_base_scale: 1.0, scales_per_octave: 1, sizes: None, aspect_ratios: vec![1.0] }
    }

    pub(super) fn focal(&self) -> Focal {
        Focal { alpha: self.focal_alpha, gamma: self.focal_gamma }
    }
}
