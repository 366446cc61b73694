//! Zoom-out (Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 3.6): the image is laid on a larger canvas, so
//! that objects become small. torchvision's `RandomZoomOut`.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use repghost_config::Check;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Step;
use crate::sample::{on_canvas, Sample};

/// Placing the image on a larger canvas; `{}` for SSD's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ZoomOutConfig {
    /// Probability for each image.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub p: f64,
    /// The canvas' sides are 1 to this many times the image's.
    #[schemars(range(min = 1.0, max = 16.0))]
    pub max_ratio: f64,
    /// Colour of the canvas (red, green, blue); ImageNet's mean by default.
    pub fill: [u8; 3],
}

impl Default for ZoomOutConfig {
    fn default() -> Self {
        Self { p: 0.5, max_ratio: 4.0, fill: [124, 116, 104] }
    }
}

impl Check for ZoomOutConfig {}

impl Step for ZoomOutConfig {
    fn apply(&self, sample: &mut Sample, rng: &mut ChaCha8Rng) {
        if rng.random::<f64>() >= self.p {
            return;
        }
        let ratio = 1.0 + rng.random::<f64>() * (self.max_ratio - 1.0);
        let from = sample.size();
        let canvas = from.map(|side| (side as f64 * ratio) as usize);
        let at = [0, 1].map(|axis| ((canvas[axis] - from[axis]) as f64 * rng.random::<f64>()) as usize);
        sample.image = on_canvas(&sample.image, canvas, at, self.fill);
        let (dx, dy) = (at[0] as f32, at[1] as f32);
        for b in &mut sample.target.boxes {
            *b = [b[0] + dx, b[1] + dy, b[2] + dx, b[3] + dy];
        }
        sample.move_shapes(|shape| shape.shift([at[0] as f64, at[1] as f64]));
    }
}
