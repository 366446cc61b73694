//! Augmentation: each sample is drawn anew in every epoch, boxes and masks with it.
//!
//! The order is the usual one of SSD-style pipelines: zoom out, random IoU crop, resize (or large-scale jitter), flip,
//! photometric distortion. Distortion comes last because it works pixel by pixel and there are fewest pixels then.
//!
//! Every sample draws from its own stream, made of (seed, epoch, index), so that no thread count, no order and no resumed run
//! changes what an epoch contains.

pub(crate) mod config;
mod hflip;
mod iou_crop;
mod photometric;
mod resize;
mod scale_jitter;
mod zoom_out;

pub use config::AugmentConfig;
pub use iou_crop::{IouCrop, IouCropConfig};
pub use photometric::{Distortion, PhotometricConfig};
pub use resize::{ResizeConfig, ResizeStyle, DEFAULT_MAX_SIZE, DEFAULT_MIN_SIZE};
pub use scale_jitter::ScaleJitterConfig;
pub use zoom_out::ZoomOutConfig;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::sample::Sample;

/// What keeps these streams apart from others that are made of the same seed.
const AUGMENT_STREAM: u64 = 0x6175_676D_656E_7401;

const PIXEL_STREAM: u64 = 0x7069_7865_6C73_0001;

/// Sides of cut boxes below this many pixels make an object disappear.
pub const MIN_SIDE: f32 = 1.0;

/// The random stream of one sample in one epoch.
pub fn sample_rng(seed: u64, epoch: usize, index: usize) -> ChaCha8Rng {
    stream([seed, epoch as u64, index as u64, AUGMENT_STREAM])
}

/// The random stream of one sample's normalised pixels in one epoch.
pub(crate) fn pixel_rng(seed: u64, epoch: usize, index: usize) -> ChaCha8Rng {
    stream([seed, epoch as u64, index as u64, PIXEL_STREAM])
}

/// A random stream that is named by four numbers.
pub(crate) fn stream(name: [u64; 4]) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, number) in key.chunks_exact_mut(8).zip(name) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

impl AugmentConfig {
    /// Augments one sample.
    pub fn apply(&self, mut sample: Sample, rng: &mut ChaCha8Rng) -> Sample {
        if let Some(zoom_out) = &self.zoom_out {
            zoom_out.apply(&mut sample, rng);
        }
        if let Some(iou_crop) = &self.iou_crop {
            iou_crop.apply(&mut sample, rng);
        }
        match &self.scale_jitter {
            Some(jitter) => jitter.apply(&mut sample, rng),
            None => self.resize.apply(&mut sample, rng),
        }
        self.finish(&mut sample, rng);
        sample
    }

    /// The steps after resizing.
    pub(crate) fn finish(&self, sample: &mut Sample, rng: &mut ChaCha8Rng) {
        hflip::apply(sample, self.hflip, rng);
        if let Some(photometric) = &self.photometric {
            photometric.apply(&mut sample.image, rng);
        }
        sample.rasterise();
    }

    /// The resize alone, where [`Self::resize_is_fixed`].
    pub(crate) fn resize_fixed(&self, mut sample: Sample) -> Sample {
        self.resize.apply(&mut sample, &mut stream([0; 4]));
        sample
    }

    /// Whether everything up to and including the resize draws nothing, so that its result may be kept between epochs.
    pub(crate) fn resize_is_fixed(&self) -> bool {
        self.zoom_out.is_none() && self.iou_crop.is_none() && self.scale_jitter.is_none() && self.resize.is_fixed()
    }
}
