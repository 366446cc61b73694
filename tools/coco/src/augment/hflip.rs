//! Mirroring left to right.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::Step;
use crate::sample::{flip_horizontal, Sample};

/// Mirrors with this probability.
pub(super) struct HFlip(pub f64);

impl Step for HFlip {
    fn apply(&self, sample: &mut Sample, rng: &mut ChaCha8Rng) {
        if rng.random::<f64>() < self.0 {
            flip(sample);
        }
    }
}

/// A box from x1 to x2 comes to lie from W - x2 to W - x1: its edges are lines between pixels, not pixels.
fn flip(sample: &mut Sample) {
    let [width, _] = sample.size();
    flip_horizontal(&mut sample.image);
    for b in &mut sample.target.boxes {
        *b = [width as f32 - b[2], b[1], width as f32 - b[0], b[3]];
    }
    sample.move_shapes(|shape| shape.flip_horizontal(width as f64));
}
