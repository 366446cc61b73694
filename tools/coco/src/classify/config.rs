//! The settings of the recipe.

use rand::Rng;
use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RandAugmentConfig;
use crate::augment::MAX_SIDE;
use crate::resize::Filter;

/// Which filter resizes a training crop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Bilinear or bicubic, drawn for each image (and for each turn or shear of RandAugment).
    #[default]
    Random,
    /// Always bilinear.
    Bilinear,
    /// Always bicubic.
    Bicubic,
}

impl Interpolation {
    pub(super) fn draw(self, rng: &mut impl Rng) -> Filter {
        match self {
            Self::Random if rng.random::<bool>() => Filter::Bicubic,
            Self::Random | Self::Bilinear => Filter::Bilinear,
            Self::Bicubic => Filter::Bicubic,
        }
    }
}

/// How images are cut and altered for classification. The default is the paper's recipe below width 1.3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClassifyConfig {
    /// Side of the square that the network sees.
    #[schemars(range(min = 1, max = MAX_SIDE), extend("x-unit" = "pixels"))]
    pub size: usize,
    /// Smallest and largest share of the image's area that a training crop covers.
    #[schemars(inner(range(min = 0.001, max = 1.0)))]
    pub scale: [f64; 2],
    /// Smallest and largest width / height of a training crop.
    #[schemars(inner(range(min = 0.01, max = 100.0)))]
    pub ratio: [f64; 2],
    /// Filter of the training crop. (Evaluation is always bicubic.)
    pub interpolation: Interpolation,
    /// Probability of mirroring left to right.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub hflip: f64,
    /// Strength of brightness, contrast and saturation changes; not used where `rand_augment` is set.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub color_jitter: f64,
    /// RandAugment, as timm writes it (`rand-m9-mstd0.5`) or as a map; null for none.
    pub rand_augment: Option<RandAugmentConfig>,
    /// Probability that a rectangle becomes noise.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub random_erasing: f64,
    /// In evaluation the short side is resized to `size / crop_share` before the centre is cut.
    #[schemars(range(min = 0.1, max = 1.0))]
    pub crop_share: f64,
}

impl Default for ClassifyConfig {
    fn default() -> Self {
        Self {
            size: 224,
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            interpolation: Interpolation::Random,
            hflip: 0.5,
            color_jitter: 0.4,
            rand_augment: None,
            random_erasing: 0.2,
            crop_share: 0.875,
        }
    }
}

impl Check for ClassifyConfig {
    fn rules(&self, at: &mut Checker) {
        at.ordered("scale", self.scale);
        at.ordered("ratio", self.ratio);
        at.optional("rand_augment", &self.rand_augment);
    }
}
