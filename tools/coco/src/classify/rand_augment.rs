//! RandAugment (Cubuk et al., 2019) as timm's `rand-m9-mstd0.5`: two operations drawn from fifteen, each carried out with
//! probability one half, with a strength drawn around a mean.
//!
//! One departure: turned and sheared images are always sampled bilinearly, where timm draws bilinear or bicubic.

use image::RgbImage;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::erase::normal;
use super::{affine, ops};
use crate::augment::config::{probability, within};
use crate::error::DataError;

/// Strengths are from 0 to this.
const MAX_MAGNITUDE: f64 = 10.0;
/// Largest turn in degrees, shear, and shift (a share of the side).
const MAX_DEGREES: f64 = 30.0;
const MAX_SHEAR: f64 = 0.3;
const MAX_SHIFT: f64 = 0.45;
/// What comes into the picture from outside: ImageNet's mean.
const FILL: [u8; 3] = [124, 116, 104];

/// How much is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandAugmentConfig {
    /// Mean strength, 0 to 10.
    pub magnitude: f64,
    /// Standard deviation of the strength.
    pub magnitude_std: f64,
    /// Operations drawn for an image.
    pub layers: usize,
    /// Probability that a drawn operation is carried out.
    pub p: f64,
}

impl Default for RandAugmentConfig {
    fn default() -> Self {
        Self { magnitude: 9.0, magnitude_std: 0.5, layers: 2, p: 0.5 }
    }
}

/// The operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    AutoContrast,
    Equalize,
    Invert,
    Rotate,
    Posterize,
    Solarize,
    SolarizeAdd,
    Color,
    Contrast,
    Brightness,
    Sharpness,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
}

pub(super) const OPS: [Op; 15] = [
    Op::AutoContrast,
    Op::Equalize,
    Op::Invert,
    Op::Rotate,
    Op::Posterize,
    Op::Solarize,
    Op::SolarizeAdd,
    Op::Color,
    Op::Contrast,
    Op::Brightness,
    Op::Sharpness,
    Op::ShearX,
    Op::ShearY,
    Op::TranslateX,
    Op::TranslateY,
];

impl RandAugmentConfig {
    pub(super) fn validate(&self, key: &str) -> Result<(), DataError> {
        within(self.magnitude, 0.0, MAX_MAGNITUDE, &format!("{key}.magnitude"))?;
        within(self.magnitude_std, 0.0, MAX_MAGNITUDE, &format!("{key}.magnitude_std"))?;
        within(self.layers as f64, 0.0, 15.0, &format!("{key}.layers"))?;
        probability(self.p, &format!("{key}.p"))
    }

    pub(super) fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        for _ in 0..self.layers {
            let op = OPS[rng.random_range(0..OPS.len())];
            if rng.random::<f64>() < self.p {
                let magnitude = (self.magnitude + self.magnitude_std * normal(rng)).clamp(0.0, MAX_MAGNITUDE);
                let sign = if rng.random::<bool>() { -1.0 } else { 1.0 };
                op.apply(image, magnitude / MAX_MAGNITUDE, sign);
            }
        }
    }
}

impl Op {
    /// Carries the operation out with a strength from 0 to 1; the sign is for operations with a direction.
    pub(super) fn apply(self, image: &mut RgbImage, strength: f64, sign: f64) {
        let size = [f64::from(image.width()), f64::from(image.height())];
        let factor = (strength * 1.8 + 0.1) as f32;
        let matrix = match self {
            Op::AutoContrast => return ops::auto_contrast(image),
            Op::Equalize => return ops::equalize(image),
            Op::Invert => return ops::invert(image),
            Op::Posterize => return ops::posterize(image, (strength * 4.0) as u32),
            Op::Solarize => return ops::solarize(image, (strength * 256.0) as u32),
            Op::SolarizeAdd => return ops::solarize_add(image, (strength * 110.0) as u8),
            Op::Color => return ops::color(image, factor),
            Op::Contrast => return ops::contrast(image, factor),
            Op::Brightness => return ops::brightness(image, factor),
            Op::Sharpness => return ops::sharpness(image, factor),
            Op::Rotate => affine::rotate(sign * strength * MAX_DEGREES, size),
            Op::ShearX => affine::shear_x(sign * strength * MAX_SHEAR),
            Op::ShearY => affine::shear_y(sign * strength * MAX_SHEAR),
            Op::TranslateX => affine::translate(sign * strength * MAX_SHIFT * size[0], 0.0),
            Op::TranslateY => affine::translate(0.0, sign * strength * MAX_SHIFT * size[1]),
        };
        *image = affine::transform(image, matrix, FILL);
    }
}
