//! What a loader does.

use serde::{Deserialize, Serialize};

use crate::augment::AugmentConfig;
use crate::error::DataError;
use crate::resize::Normalize;

/// What an unreadable image does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnreadable {
    /// Its batch is an error that names the file.
    #[default]
    Error,
    /// It is left out of its batch and listed in [`crate::loader::Loader::unreadable`].
    Skip,
}

/// What a loader does. [`LoaderConfig::evaluation`] is its other form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoaderConfig {
    /// Images of a batch.
    pub batch_size: usize,
    /// Threads; with 0 the consumer's own thread does the work.
    pub workers: usize,
    /// Finished batches that wait for each worker.
    pub prefetch: usize,
    /// A new order in each epoch.
    pub shuffle: bool,
    /// Leaves out a last batch that is not full.
    pub drop_last: bool,
    /// Of order and augmentation.
    pub seed: u64,
    /// Batches of either wide or tall images.
    pub group_by_aspect: bool,
    /// What is done to each image.
    pub augment: AugmentConfig,
    /// Mean and standard deviation.
    pub normalize: Normalize,
    /// Batches are padded at the right and at the bottom to a multiple of this.
    pub pad_multiple: usize,
    /// What an unreadable image does.
    pub on_unreadable_image: OnUnreadable,
    /// Memory for decoded images in MiB, so that later epochs of a small set read no file; 0 for none. It never changes a batch.
    pub cache_mb: usize,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch_size: 16,
            workers: 2,
            prefetch: 2,
            shuffle: true,
            drop_last: true,
            seed: 0,
            group_by_aspect: true,
            augment: AugmentConfig::default(),
            normalize: Normalize::default(),
            pad_multiple: 32,
            on_unreadable_image: OnUnreadable::Error,
            cache_mb: 0,
        }
    }
}

impl LoaderConfig {
    /// The same without chance: the source's order, every image once, nothing drawn.
    pub fn evaluation(&self) -> Self {
        Self { shuffle: false, drop_last: false, group_by_aspect: false, augment: self.augment.for_evaluation(), ..self.clone() }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`DataError::Config`] with the key, what is expected and what was found.
    pub fn validate(&self) -> Result<(), DataError> {
        let count = |value: usize, least: usize, most: usize, key: &str| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(DataError::config(key, format!("expected a number from {least} to {most}, found {value}"))),
        };
        count(self.batch_size, 1, 4096, "batch_size")?;
        count(self.workers, 0, 256, "workers")?;
        count(self.prefetch, 1, 64, "prefetch")?;
        count(self.pad_multiple, 1, 1024, "pad_multiple")?;
        count(self.cache_mb, 0, 1 << 22, "cache_mb")?;
        if self.normalize.std.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            return Err(DataError::config("normalize.std", format!("expected numbers above 0, found {:?}", self.normalize.std)));
        }
        if self.normalize.mean.iter().any(|m| !m.is_finite()) {
            return Err(DataError::config("normalize.mean", format!("expected numbers, found {:?}", self.normalize.mean)));
        }
        self.augment.validate("augment")
    }
}
