//! RandAugment (Cubuk et al., 2019) as timm's `rand-m9-mstd0.5`: two operations drawn from fifteen, each carried out with
//! probability one half, with a strength drawn around a mean.

use image::RgbImage;
use rand::Rng;
use repghost_config::Check;
use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::erase::normal;
use super::{affine, ops, Interpolation};
use crate::resize::Filter;

/// Strengths are from 0 to this.
const MAX_MAGNITUDE: f64 = 10.0;
/// Largest turn in degrees, shear, and shift (a share of the side).
const MAX_DEGREES: f64 = 30.0;
const MAX_SHEAR: f64 = 0.3;
const MAX_SHIFT: f64 = 0.45;
/// What comes into the picture from outside: ImageNet's mean.
const FILL: [u8; 3] = [124, 116, 104];

/// How much is done. Read from a map, or from timm's text ([`RandAugmentConfig::parse`]).
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields, transform = or_text)]
pub struct RandAugmentConfig {
    /// Mean strength.
    #[schemars(range(min = 0.0, max = MAX_MAGNITUDE))]
    pub magnitude: f64,
    /// Standard deviation of the strength.
    #[schemars(range(min = 0.0, max = MAX_MAGNITUDE))]
    pub magnitude_std: f64,
    /// Operations drawn for an image.
    #[schemars(range(min = 0, max = 15))]
    pub layers: usize,
    /// Probability that a drawn operation is carried out.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub p: f64,
}

impl Default for RandAugmentConfig {
    fn default() -> Self {
        Self { magnitude: 9.0, magnitude_std: 0.5, layers: 2, p: 0.5 }
    }
}

/// The schema takes timm's text as well.
fn or_text(schema: &mut schemars::Schema) {
    schema.insert("type".into(), serde_json::json!(["object", "string"]));
}

impl Check for RandAugmentConfig {}

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

/// What a map may hold; the fields are those of [`RandAugmentConfig`].
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Map {
    magnitude: f64,
    magnitude_std: f64,
    layers: usize,
    p: f64,
}

impl Default for Map {
    fn default() -> Self {
        let RandAugmentConfig { magnitude, magnitude_std, layers, p } = RandAugmentConfig::default();
        Self { magnitude, magnitude_std, layers, p }
    }
}

impl<'de> Deserialize<'de> for RandAugmentConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrMap;
        impl<'de> Visitor<'de> for TextOrMap {
            type Value = RandAugmentConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a text such as rand-m9-mstd0.5, or a map of magnitude, magnitude_std, layers, p")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RandAugmentConfig, E> {
                RandAugmentConfig::parse(text).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RandAugmentConfig, A::Error> {
                let Map { magnitude, magnitude_std, layers, p } = Map::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RandAugmentConfig { magnitude, magnitude_std, layers, p })
            }
        }
        deserializer.deserialize_any(TextOrMap)
    }
}

impl RandAugmentConfig {
    /// timm's notation: `rand`, then parts with dashes between. `m9` is the magnitude, `mstd0.5` its standard deviation, `n2` the
    /// number of operations, `p0.5` their probability. Without `mstd` the magnitude is not varied, as in timm.
    ///
    /// # Errors
    /// What the text is and what was expected, for anything else (timm has more parts; these are what the recipe uses).
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |part: &str| {
            format!("'{text}': '{part}' is no part of a RandAugment text; expected rand-m9-mstd0.5, with n2 and p0.5 at choice")
        };
        let mut parts = text.split('-');
        match parts.next() {
            Some("rand") => {}
            first => return Err(wrong(first.unwrap_or_default())),
        }
        let mut config = Self { magnitude_std: 0.0, ..Self::default() };
        for part in parts {
            let digits = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
            let (key, value) = part.split_at(digits);
            let number: f64 = value.parse().map_err(|_| wrong(part))?;
            match key {
                "m" => config.magnitude = number,
                "mstd" => config.magnitude_std = number,
                "p" => config.p = number,
                "n" => config.layers = value.parse().map_err(|_| wrong(part))?,
                _ => return Err(wrong(part)),
            }
        }
        Ok(config)
    }

    pub(super) fn apply(&self, image: &mut RgbImage, interpolation: Interpolation, rng: &mut impl Rng) {
        for _ in 0..self.layers {
            let op = OPS[rng.random_range(0..OPS.len())];
            if rng.random::<f64>() < self.p {
                let magnitude = (self.magnitude + self.magnitude_std * normal(rng)).clamp(0.0, MAX_MAGNITUDE);
                let sign = if rng.random::<bool>() { -1.0 } else { 1.0 };
                op.apply(image, magnitude / MAX_MAGNITUDE, sign, interpolation.draw(rng));
            }
        }
    }
}

impl Op {
    /// Carries the operation out with a strength from 0 to 1; the sign is for operations with a direction, the filter for those that
    /// move pixels.
    pub(super) fn apply(self, image: &mut RgbImage, strength: f64, sign: f64, filter: Filter) {
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
        *image = affine::transform(image, matrix, FILL, filter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timms_text_and_a_map_say_the_same() {
        let read = |json: &str| serde_json::from_str::<RandAugmentConfig>(json);
        assert_eq!(read(r#""rand-m9-mstd0.5""#).unwrap(), RandAugmentConfig::default());
        assert_eq!(read("{}").unwrap(), RandAugmentConfig::default());
        let all = RandAugmentConfig { magnitude: 7.0, magnitude_std: 0.0, layers: 3, p: 0.25 };
        assert_eq!(read(r#""rand-m7-n3-p0.25""#).unwrap(), all);
        assert_eq!(read(&serde_json::to_string(&all).unwrap()).unwrap(), all, "what is written reads back");
        for wrong in ["augmix-m3", "rand-m", "rand-x3", "rand-n2.5", "rand-mstd", ""] {
            let error = read(&format!("{wrong:?}")).unwrap_err().to_string();
            assert!(error.contains("expected rand-m9-mstd0.5"), "{error}");
        }
        assert!(read(r#"{"magnitud": 3}"#).unwrap_err().to_string().contains("magnitude"));
    }
}
