//! Keep-ratio resize: the short side to a given (or drawn) length, unless the long side would exceed its limit.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use repghost_config::Check;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Step, MAX_SIDE};
use crate::buffers::give_back;
use crate::resize::{resize, Filter};
use crate::sample::Sample;

/// Short side of the `1x` recipes.
pub const DEFAULT_MIN_SIZE: usize = 800;
/// Long side of the `1x` recipes.
pub const DEFAULT_MAX_SIZE: usize = 1333;

/// How sizes are rounded and pixels interpolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResizeStyle {
    /// Sides are rounded, a shrunk image is an average, pixels are bytes again: Pillow's filter, mmdetection's sizes.
    #[default]
    Antialiased,
    /// What torchvision's detectors do inside of the model: sides are cut off, each pixel lies between its four nearest neighbours (however
    /// much the image shrinks), and stays a fraction. For weights from there.
    Torchvision,
}

/// Keep-ratio resize. `{size: 320}` brings the *long* side to 320 pixels, whatever the other keys are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResizeConfig {
    /// Long side, in place of `min_sizes` and `max_size`.
    #[schemars(range(min = 1, max = MAX_SIDE), extend("x-unit" = "pixels"))]
    pub size: Option<usize>,
    /// Short sides, of which training draws one for each image and evaluation takes the largest.
    #[schemars(length(min = 1), inner(range(min = 1, max = MAX_SIDE)), extend("x-unit" = "pixels"))]
    pub min_sizes: Vec<usize>,
    /// The long side never exceeds this.
    #[schemars(range(min = 1, max = MAX_SIDE), extend("x-unit" = "pixels"))]
    pub max_size: usize,
    /// How sizes are rounded and pixels interpolated.
    pub style: ResizeStyle,
}

impl Default for ResizeConfig {
    fn default() -> Self {
        Self { size: None, min_sizes: vec![DEFAULT_MIN_SIZE], max_size: DEFAULT_MAX_SIZE, style: ResizeStyle::Antialiased }
    }
}

impl ResizeConfig {
    /// The long side to `size` pixels.
    pub fn longest(size: usize) -> Self {
        Self { size: Some(size), ..Self::default() }
    }

    pub(super) fn for_evaluation(&self) -> Self {
        let largest = self.min_sizes.iter().max().copied();
        Self { min_sizes: largest.into_iter().collect(), ..self.clone() }
    }

    /// Width and height after the resize, for a short side.
    fn target(&self, from: [usize; 2], short_side: usize) -> [usize; 2] {
        let (short, long) = (from[0].min(from[1]) as f64, from[0].max(from[1]) as f64);
        let scale = match self.size {
            Some(size) => size as f64 / long,
            None => (short_side as f64 / short).min(self.max_size as f64 / long),
        };
        match self.style {
            ResizeStyle::Antialiased => scaled(from, scale),
            ResizeStyle::Torchvision => from.map(|side| ((side as f64 * scale).floor() as usize).max(1)),
        }
    }
}

impl Check for ResizeConfig {}

impl Step for ResizeConfig {
    fn apply(&self, sample: &mut Sample, rng: &mut ChaCha8Rng) {
        let short = match self.min_sizes.as_slice() {
            _ if self.size.is_some() => 0,
            [] => DEFAULT_MIN_SIZE,
            [only] => *only,
            several => several[rng.random_range(0..several.len())],
        };
        let size = self.target(sample.size(), short);
        match self.style {
            ResizeStyle::Antialiased => resize_sample(sample, size),
            ResizeStyle::Torchvision => {
                resize_objects(sample, size);
                // Flips and colours work on the pixels as they are; the batch is where they become fractions.
                sample.pending = (size != sample.size()).then_some(size);
            }
        }
    }

    fn is_fixed(&self) -> bool {
        self.size.is_some() || self.min_sizes.len() <= 1
    }
}

/// Both sides times a factor, rounded, at least 1.
pub(super) fn scaled(from: [usize; 2], scale: f64) -> [usize; 2] {
    from.map(|side| ((side as f64 * scale + 0.5) as usize).max(1))
}

/// Resizes image, boxes and masks to a width and height.
pub(super) fn resize_sample(sample: &mut Sample, to: [usize; 2]) {
    let from = sample.size();
    if from == to {
        return;
    }
    resize_objects(sample, to);
    let resized = resize(&sample.image, to[0], to[1], Filter::Bilinear);
    give_back(std::mem::replace(&mut sample.image, resized));
}

/// Resizes boxes and masks to a width and height.
fn resize_objects(sample: &mut Sample, to: [usize; 2]) {
    let from = sample.size();
    // Rounded sides have slightly different factors, so each axis has its own, as in torchvision.
    let (sx, sy) = (to[0] as f32 / from[0] as f32, to[1] as f32 / from[1] as f32);
    for b in &mut sample.target.boxes {
        // A factor's rounding may carry an edge a hair over the border.
        *b = [b[0] * sx, b[1] * sy, (b[2] * sx).min(to[0] as f32), (b[3] * sy).min(to[1] as f32)];
    }
    let factors = [to[0] as f64 / from[0] as f64, to[1] as f64 / from[1] as f64];
    sample.move_shapes(|shape| shape.resize(factors));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_usual_recipes() {
        // mmdetection's rescale_size((w, h), (1333, 800)) for the first four.
        let recipe = ResizeConfig::default();
        for (from, to) in
            [([640, 480], [1067, 800]), ([480, 640], [800, 1067]), ([500, 100], [1333, 267]), ([640, 427], [1199, 800])]
        {
            assert_eq!(recipe.target(from, 800), to, "{from:?}");
        }
        // torchvision's `GeneralizedRCNNTransform` for the same images (floor, and 800 / 428 x 641 is no whole number).
        let torchvision = ResizeConfig { style: ResizeStyle::Torchvision, ..ResizeConfig::default() };
        for (from, to) in [
            ([640, 480], [1066, 800]),
            ([480, 640], [800, 1066]),
            ([500, 100], [1333, 266]),
            ([640, 427], [1199, 800]),
            ([641, 428], [1198, 800]),
        ] {
            assert_eq!(torchvision.target(from, 800), to, "{from:?}");
        }
        for (from, to) in [([640, 480], [320, 240]), ([300, 3], [320, 3]), ([3, 3000], [1, 320]), ([320, 320], [320, 320])] {
            assert_eq!(ResizeConfig::longest(320).target(from, 800), to, "{from:?}");
        }
    }
}
