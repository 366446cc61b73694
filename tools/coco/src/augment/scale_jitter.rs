//! Large-scale jitter (Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method", 2021): the image is fitted into
//! a square times a drawn factor, then a random window of the square's size is cut where it is larger.
//!
//! Smaller images are not padded here: the batch pads them.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::config::{range, side};
use super::resize::resize_sample;
use super::MIN_SIDE;
use crate::error::DataError;
use crate::sample::{Sample, Window};

/// Sizes of large-scale jitter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScaleJitterConfig {
    /// Side of the square.
    pub size: usize,
    /// Smallest and largest factor; `[0.8, 1.25]` is the weak form.
    pub range: [f64; 2],
}

impl Default for ScaleJitterConfig {
    fn default() -> Self {
        Self { size: 1024, range: [0.1, 2.0] }
    }
}

impl ScaleJitterConfig {
    pub(super) fn validate(&self, key: &str) -> Result<(), DataError> {
        side(self.size, &format!("{key}.size"))?;
        range(self.range, 0.01, 8.0, &format!("{key}.range"))
    }

    pub(super) fn apply(&self, sample: &mut Sample, rng: &mut impl Rng) {
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
