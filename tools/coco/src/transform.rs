//! What a loader does to each sample, so that detection and classification share threads, order, cache and batches.

use rand_chacha::ChaCha8Rng;

use crate::sample::Sample;

/// From a source's sample to one in a batch. Chance comes from the given stream alone.
pub trait Transform: Send + Sync {
    /// The first steps, as far as they draw nothing: a cache keeps their result.
    fn prepare(&self, sample: Sample) -> Sample {
        sample
    }

    /// The other steps.
    fn draw(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Sample;

    /// Whether samples leave as bytes: none has a resize pending, and [`Transform::on_normalized`] does nothing.
    fn leaves_bytes(&self) -> bool;

    /// A last step on normalised pixels `[3, height, width]` of an image that fills its planes.
    fn on_normalized(&self, _pixels: &mut [f32], _height: usize, _width: usize, _rng: &mut ChaCha8Rng) {}
}
