//! Image classification: a folder a class, and the recipe that RepGhostNet was trained with.
//!
//! The recipe (Chen et al., "RepGhost", 2022, by its training script for timm): random resized crop to 224 pixels with a random
//! filter, mirroring, colour jitter of 0.4 or, from width 1.3 on, RandAugment in its place, normalisation, random erasing with
//! probability 0.2. Evaluation resizes the short side to 224 / 0.875 and crops the centre.

pub mod affine;
mod config;
mod crop;
mod erase;
mod folder;
pub mod ops;
mod rand_augment;

pub use config::{ClassifyConfig, Interpolation};
pub use folder::{Classes, ImageFolder};
pub use rand_augment::RandAugmentConfig;

use rand::seq::SliceRandom;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::sample::{flip_horizontal, Sample};
use crate::transform::Transform;

/// Draws training images.
#[derive(Clone, Debug)]
pub struct Training(pub ClassifyConfig);

/// Cuts evaluation images.
#[derive(Clone, Debug)]
pub struct Evaluation(pub ClassifyConfig);

impl Transform for Training {
    fn draw(&self, mut sample: Sample, rng: &mut ChaCha8Rng) -> Sample {
        let config = &self.0;
        sample.image = crop::random(&sample.image, config, rng);
        if rng.random::<f64>() < config.hflip {
            flip_horizontal(&mut sample.image);
        }
        match &config.rand_augment {
            Some(policy) => policy.apply(&mut sample.image, config.interpolation, rng),
            None => jitter(&mut sample.image, config.color_jitter as f32, rng),
        }
        sample
    }

    fn leaves_bytes(&self) -> bool {
        self.0.random_erasing == 0.0
    }

    fn on_normalized(&self, pixels: &mut [f32], height: usize, width: usize, rng: &mut ChaCha8Rng) {
        erase::random(pixels, height, width, self.0.random_erasing, rng);
    }
}

impl Transform for Evaluation {
    fn prepare(&self, mut sample: Sample) -> Sample {
        sample.image = crop::centre(&sample.image, self.0.size, self.0.crop_share);
        sample
    }

    fn draw(&self, sample: Sample, _rng: &mut ChaCha8Rng) -> Sample {
        sample
    }

    fn leaves_bytes(&self) -> bool {
        true
    }
}

/// Brightness, contrast and saturation times factors in [1 - strength, 1 + strength], in random order.
fn jitter(image: &mut image::RgbImage, strength: f32, rng: &mut impl Rng) {
    if strength <= 0.0 {
        return;
    }
    let mut steps: [fn(&mut image::RgbImage, f32); 3] = [ops::brightness, ops::contrast, ops::color];
    steps.shuffle(rng);
    for step in steps {
        let low = (1.0 - strength).max(0.0);
        step(image, low + rng.random::<f32>() * (1.0 + strength - low));
    }
}
