//! Large-scale jitter (Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method", 2021): the image is fitted into
//! a square times a drawn factor, then a random window of the square's size is cut where it is larger.
//!
//! Smaller images are not padded here: the batch pads them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::resize::resize_sample;
use super::{Step, MAX_SIDE, MIN_SIDE};
use crate::sample::{Sample, Window};

/// Large-scale jitter, in place of `resize`; `{}` for 0.1 to 2 times 1024.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScaleJitterConfig {
    /// Side of the square.
    #[schemars(range(min = 1, max = MAX_SIDE), extend("x-unit" = "pixels"))]
    pub size: usize,
    /// Smallest and largest factor; `[0.8, 1.25]` is the weak form.
    #[schemars(inner(range(min = 0.01, max = 8.0)))]
    pub range: [f64; 2],
}

impl Default for ScaleJitterConfig {
    fn default() -> Self {
        Self { size: 1024, range: [0.1, 2.0] }
    }
}

impl Check for ScaleJitterConfig {
    fn rules(&self, at: &mut Checker) {
        at.ordered("range", self.range);
    }
}

impl Step for ScaleJitterConfig {
    fn apply(&self, sample: &mut Sample, rng: &mut ChaCha8Rng) {
        let factor = self.range[0] + rng.random::<f64>() * (self.range[1] - self.range[0]);
        let [width, height] = sample.size();
        let scale = factor * self.size as f64 / width.max(height) as f64;
        // torchvision's ScaleJitter cuts off, unlike the resize above.
        let to = [width, height].map(|side| ((side as f64 * scale) as usize).max(1));
        resize_sample(sample, to);
        let free = to.map(|side| side.saturating_sub(self.size));
        let at = free.map(|free| (free as f64 * rng.random::<f64>()) as usize);
        sample.crop(Window { x: at[0], y: at[1], width: to[0].min(self.size), height: to[1].min(self.size) }, MIN_SIDE);
    }
}
