//! The settings of the recipe.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::RandAugmentConfig;
use crate::augment::config::{probability, range, side, within};
use crate::error::DataError;
use crate::resize::Filter;

/// Which filter resizes a training crop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassifyConfig {
    /// Side of the square that the network sees.
    pub size: usize,
    /// Share of the image's area that a training crop covers.
    pub scale: [f64; 2],
    /// Width / height of a training crop.
    pub ratio: [f64; 2],
    /// Filter of the training crop. (Evaluation is always bicubic.)
    pub interpolation: Interpolation,
    /// Probability of mirroring left to right.
    pub hflip: f64,
    /// Strength of brightness, contrast and saturation changes; not used where `rand_augment` is set.
    pub color_jitter: f64,
    /// RandAugment, as timm writes it (`rand-m9-mstd0.5`) or as a map; null for none.
    pub rand_augment: Option<RandAugmentConfig>,
    /// Probability that a rectangle becomes noise.
    pub random_erasing: f64,
    /// In evaluation the short side is resized to `size / crop_share` before the centre is cut.
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

impl ClassifyConfig {
    /// Checks every range; `key` is where in the experiment file this part stands.
    ///
    /// # Errors
    /// [`DataError::Config`] with the dotted key, what is expected and what was found.
    pub fn validate(&self, key: &str) -> Result<(), DataError> {
        side(self.size, &format!("{key}.size"))?;
        range(self.scale, 0.001, 1.0, &format!("{key}.scale"))?;
        range(self.ratio, 0.01, 100.0, &format!("{key}.ratio"))?;
        probability(self.hflip, &format!("{key}.hflip"))?;
        within(self.color_jitter, 0.0, 10.0, &format!("{key}.color_jitter"))?;
        probability(self.random_erasing, &format!("{key}.random_erasing"))?;
        within(self.crop_share, 0.1, 1.0, &format!("{key}.crop_share"))?;
        self.rand_augment.as_ref().map_or(Ok(()), |part| part.validate(&format!("{key}.rand_augment")))
    }
}
