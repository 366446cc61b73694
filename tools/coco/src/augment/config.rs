//! The `augment` part of an experiment file.

use serde::{Deserialize, Serialize};

use super::{IouCropConfig, PhotometricConfig, ResizeConfig, ScaleJitterConfig, ZoomOutConfig};
use crate::error::DataError;

/// What is done to a training image. The default is the usual `1x` recipe: short side 800, long side at most 1333, flips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Keep-ratio resize.
    pub resize: ResizeConfig,
    /// Probability of mirroring left to right.
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

impl AugmentConfig {
    /// The same sizes without chance: what evaluation uses. Of several short sides the largest is taken.
    pub fn for_evaluation(&self) -> Self {
        let resize = self.resize.for_evaluation();
        Self { resize, hflip: 0.0, photometric: None, scale_jitter: None, iou_crop: None, zoom_out: None }
    }

    /// Checks every range; `key` is where in the experiment file this part stands.
    ///
    /// # Errors
    /// [`DataError::Config`] with the dotted key, what is expected and what was found.
    pub fn validate(&self, key: &str) -> Result<(), DataError> {
        probability(self.hflip, &format!("{key}.hflip"))?;
        self.resize.validate(&format!("{key}.resize"))?;
        if let Some(part) = &self.photometric {
            part.validate(&format!("{key}.photometric"))?;
        }
        if let Some(part) = &self.scale_jitter {
            part.validate(&format!("{key}.scale_jitter"))?;
        }
        if let Some(part) = &self.iou_crop {
            part.validate(&format!("{key}.iou_crop"))?;
        }
        if let Some(part) = &self.zoom_out {
            part.validate(&format!("{key}.zoom_out"))?;
        }
        Ok(())
    }
}

/// A number in [0, 1].
pub(crate) fn probability(value: f64, key: &str) -> Result<(), DataError> {
    within(value, 0.0, 1.0, key)
}

/// A number in [low, high]; not a number fails too.
pub(crate) fn within(value: f64, low: f64, high: f64, key: &str) -> Result<(), DataError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(DataError::config(key, format!("expected a number from {low} to {high}, found {value}")))
}

/// A pair low ≤ high within [least, most].
pub(crate) fn range(pair: [f64; 2], least: f64, most: f64, key: &str) -> Result<(), DataError> {
    within(pair[0], least, most, key)?;
    within(pair[1], least, most, key)?;
    if pair[0] > pair[1] {
        return Err(DataError::config(key, format!("expected [low, high], found [{}, {}]", pair[0], pair[1])));
    }
    Ok(())
}

/// A side in pixels.
pub(crate) fn side(value: usize, key: &str) -> Result<(), DataError> {
    const MAX_SIDE: usize = 16_384;
    if (1..=MAX_SIDE).contains(&value) {
        return Ok(());
    }
    Err(DataError::config(key, format!("expected pixels from 1 to {MAX_SIDE}, found {value}")))
}
