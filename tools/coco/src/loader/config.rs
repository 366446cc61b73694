//! What a loader does.

use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::augment::AugmentConfig;
use crate::resize::Normalize;

/// What happens to images that cannot be decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnreadableImage {
    /// Reading stops with an error that names the file.
    #[default]
    Error,
    /// They are left out, counted and named.
    Skip,
}

/// What a loader does. [`LoaderConfig::evaluation`] is its other form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoaderConfig {
    /// Images of a batch.
    #[schemars(range(min = 1, max = 4096))]
    pub batch_size: usize,
    /// Threads; with 0 the consumer's own thread does the work.
    #[schemars(range(max = 256))]
    pub workers: usize,
    /// Finished batches that wait for each worker.
    #[schemars(range(min = 1, max = 64))]
    pub prefetch: usize,
    /// A new order in each epoch.
    pub shuffle: bool,
    /// Shards (tar archives) whose images are mixed at a time; all where unset.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub shard_window: Option<usize>,
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
    #[schemars(range(min = 1, max = 1024))]
    pub pad_multiple: usize,
    /// What happens to images that cannot be decoded.
    pub on_unreadable_image: OnUnreadableImage,
    /// Memory for decoded images in MiB, so that later epochs of a small set read no file; 0 for none. It never changes a batch.
    #[schemars(range(max = 4_194_304))]
    pub cache_mb: usize,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch_size: 16,
            workers: 2,
            prefetch: 2,
            shuffle: true,
            shard_window: None,
            drop_last: true,
            seed: 0,
            group_by_aspect: true,
            augment: AugmentConfig::default(),
            normalize: Normalize::default(),
            pad_multiple: 32,
            on_unreadable_image: OnUnreadableImage::Error,
            cache_mb: 0,
        }
    }
}

impl LoaderConfig {
    /// The same without chance: the source's order, every image once, nothing drawn.
    pub fn evaluation(&self) -> Self {
        Self { shuffle: false, drop_last: false, group_by_aspect: false, augment: self.augment.for_evaluation(), ..self.clone() }
    }
}

impl Check for LoaderConfig {
    fn rules(&self, at: &mut Checker) {
        at.part("augment", &self.augment);
    }
}
