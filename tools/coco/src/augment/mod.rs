//! Augmentation: each sample is drawn anew in every epoch, boxes and masks with it.
//!
//! The order is the usual one of SSD-style pipelines: zoom out, random IoU crop, resize (or large-scale jitter), flip,
//! photometric distortion. Distortion comes last because it works pixel by pixel and there are fewest pixels then.
//!
//! Every sample draws from its own stream, made of (seed, epoch, index), so that no thread count, no order and no resumed run
//! changes what an epoch contains.
//!
//! To add a step: a file here with its config (which implements [`Step`] and [`Check`]), a field of [`AugmentConfig`] that is null by
//! default, and a line in each of `AugmentConfig::steps` and its check.

mod hflip;
mod iou_crop;
mod photometric;
mod resize;
mod scale_jitter;
mod zoom_out;

pub use crate::stream::sample_rng;
pub use iou_crop::{IouCrop, IouCropConfig};
pub use photometric::{Distortion, PhotometricConfig};
pub use resize::{ResizeConfig, ResizeStyle, DEFAULT_MAX_SIZE, DEFAULT_MIN_SIZE};
pub use scale_jitter::ScaleJitterConfig;
pub use zoom_out::ZoomOutConfig;

use rand_chacha::ChaCha8Rng;
use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sample::Sample;
use crate::transform::Transform;

/// Sides of cut boxes below this many pixels make an object disappear.
pub const MIN_SIDE: f32 = 1.0;

/// The longest side, in pixels, that a resize may aim at.
pub(crate) const MAX_SIDE: usize = 16_384;

/// One step of the pipeline.
pub trait Step {
    /// Changes a sample; chance comes from the stream alone.
    fn apply(&self, sample: &mut Sample, rng: &mut ChaCha8Rng);

    /// Whether nothing is drawn: then the step gives the same sample in every epoch, and its result may be kept.
    fn is_fixed(&self) -> bool {
        false
    }
}

/// What is done to a training image. The default is the usual `1x` recipe: short side 800, long side at most 1333, flips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Keep-ratio resize.
    pub resize: ResizeConfig,
    /// Probability of mirroring left to right.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub hflip: f64,
    /// Brightness, contrast, saturation, hue and channel order; `{}` for torchvision's ranges.
    pub photometric: Option<PhotometricConfig>,
    /// Large-scale jitter, in place of `resize`; `{}` for 0.1 to 2 times 1024.
    pub scale_jitter: Option<ScaleJitterConfig>,
    /// Random crops that overlap objects by a drawn IoU; `{}` for SSD's.
    pub iou_crop: Option<IouCropConfig>,
    /// Placing the image on a larger canvas; `{}` for SSD's.
    pub zoom_out: Option<ZoomOutConfig>,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            resize: ResizeConfig::default(),
            hflip: 0.5,
            photometric: None,
            scale_jitter: None,
            iou_crop: None,
            zoom_out: None,
        }
    }
}

impl Check for AugmentConfig {
    fn rules(&self, at: &mut Checker) {
        at.part("resize", &self.resize);
        at.optional("photometric", &self.photometric);
        at.optional("scale_jitter", &self.scale_jitter);
        at.optional("iou_crop", &self.iou_crop);
        at.optional("zoom_out", &self.zoom_out);
    }
}

impl AugmentConfig {
    /// The same sizes without chance: what evaluation uses. Of several short sides the largest is taken.
    pub fn for_evaluation(&self) -> Self {
        // Whatever draws is off by default, but for the flip.
        Self { resize: self.resize.for_evaluation(), hflip: 0.0, ..Self::default() }
    }

    /// The steps in the order in which they are applied.
    fn steps(&self) -> impl Iterator<Item = Box<dyn Step + '_>> {
        fn boxed<'a>(step: &'a impl Step) -> Option<Box<dyn Step + 'a>> {
            Some(Box::new(step))
        }
        let resize = match &self.scale_jitter {
            Some(jitter) => boxed(jitter),
            None => boxed(&self.resize),
        };
        let steps: [Option<Box<dyn Step + '_>>; 5] = [
            self.zoom_out.as_ref().and_then(boxed),
            self.iou_crop.as_ref().and_then(boxed),
            resize,
            Some(Box::new(hflip::HFlip(self.hflip))),
            self.photometric.as_ref().and_then(boxed),
        ];
        steps.into_iter().flatten()
    }

    /// Augments one sample.
    pub fn apply(&self, sample: Sample, rng: &mut ChaCha8Rng) -> Sample {
        let prepared = self.prepare(sample);
        self.draw(prepared, rng)
    }
}

impl<S: Step + ?Sized> Step for &S {
    fn apply(&self, sample: &mut Sample, rng: &mut ChaCha8Rng) {
        (**self).apply(sample, rng);
    }

    fn is_fixed(&self) -> bool {
        (**self).is_fixed()
    }
}

/// The first steps that draw nothing are the same in every epoch, so that a cache keeps small images, not large ones.
impl Transform for AugmentConfig {
    fn prepare(&self, mut sample: Sample) -> Sample {
        let mut unused = crate::stream::stream([0; 4]);
        self.steps().take_while(Step::is_fixed).for_each(|step| step.apply(&mut sample, &mut unused));
        sample
    }

    fn draw(&self, mut sample: Sample, rng: &mut ChaCha8Rng) -> Sample {
        self.steps().skip_while(Step::is_fixed).for_each(|step| step.apply(&mut sample, rng));
        sample.rasterise();
        sample
    }

    fn leaves_bytes(&self) -> bool {
        self.scale_jitter.is_some() || self.resize.style == ResizeStyle::Antialiased
    }
}

impl<S: Step + ?Sized> Step for Box<S> {
    fn apply(&self, sample: &mut Sample, rng: &mut ChaCha8Rng) {
        (**self).apply(sample, rng);
    }

    fn is_fixed(&self) -> bool {
        (**self).is_fixed()
    }
}
