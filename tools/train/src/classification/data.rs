//! Image folders: splits, classes, loaders.

use std::sync::Arc;

use repghost_coco::classify::{Classes, Evaluation, ImageFolder, Training};
use repghost_coco::{Loader, LoaderConfig, OnUnreadableImage, Source};

use crate::config::data_paths::Split;
use crate::config::{DataSource, Experiment};
use crate::error::TrainError;

/// Opens a split. `classes` are the names in the order of their labels, beside which there may be no others; `None` takes the
/// experiment's, or all subfolders in alphabetical order.
///
/// # Errors
/// A folder that is not set or not there, or that does not fit the classes.
pub fn open(e: &Experiment, split: Split, classes: Option<&[String]>) -> Result<Arc<ImageFolder>, TrainError> {
    if e.data.source != DataSource::ImageFolder {
        return Err(TrainError::SourceForTask {
            source_name: e.data.source.name(),
            missing: "image classes",
            expected: "image_folder",
        });
    }
    let root = e.image_folder(split)?;
    let classes = match (classes, &e.data.classes) {
        (Some(known), None) => Classes::Exactly(known),
        (_, Some(wanted)) if classes.is_none_or(|known| known == wanted.as_slice()) => Classes::Only(wanted),
        (Some(known), Some(_)) => Classes::Exactly(known),
        (None, _) => Classes::All,
    };
    Ok(Arc::new(ImageFolder::open(&root, classes, e.data.decode())?))
}

/// A loader to learn from. A data set smaller than a batch makes one small batch.
///
/// # Errors
/// Settings out of range.
pub fn train_loader(e: &Experiment, source: Arc<dyn Source>) -> Result<Loader, TrainError> {
    let config = loader_config(e, e.train.batch_size);
    let drop_last = source.len() >= config.batch_size;
    let on_unreadable_image = e.data.on_unreadable_image;
    let config = LoaderConfig { drop_last, on_unreadable_image, ..config };
    Ok(Loader::with_transform(source, config, Arc::new(Training(e.data.classify.clone())))?)
}

/// A loader to measure on: every image once, in order, nothing drawn. An unreadable image is an error whatever the experiment has, as
/// the numbers would be of other data.
///
/// # Errors
/// Settings out of range.
pub fn eval_loader(e: &Experiment, source: Arc<dyn Source>) -> Result<Loader, TrainError> {
    evaluation(e, source, OnUnreadableImage::Error)
}

/// A loader to predict with: as [`eval_loader`], but images that cannot be read are left out and listed.
///
/// # Errors
/// Settings out of range.
pub fn predict_loader(e: &Experiment, source: Arc<dyn Source>) -> Result<Loader, TrainError> {
    evaluation(e, source, OnUnreadableImage::Skip)
}

fn evaluation(e: &Experiment, source: Arc<dyn Source>, on_unreadable_image: OnUnreadableImage) -> Result<Loader, TrainError> {
    let config = LoaderConfig { on_unreadable_image, ..loader_config(e, e.eval.batch_size).evaluation() };
    Ok(Loader::with_transform(source, config, Arc::new(Evaluation(e.data.classify.clone())))?)
}

fn loader_config(e: &Experiment, batch_size: usize) -> LoaderConfig {
    LoaderConfig {
        batch_size,
        workers: e.data.workers,
        seed: e.train.seed,
        cache_mb: e.data.cache_mb,
        shard_window: e.data.shard_window,
        // All images are squares of one size.
        group_by_aspect: false,
        pad_multiple: 1,
        ..Default::default()
    }
}
