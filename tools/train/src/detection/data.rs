//! An experiment's data: splits with their loaders, ground truth and classes.

use std::path::PathBuf;
use std::sync::Arc;

use repghost_coco::repeat_factor::repeat_factors;
use repghost_coco::shapes::{self, ShapesSource};
use repghost_coco::shards;
use repghost_coco::{CocoSource, Dataset, DatasetOptions, Loader, LoaderConfig, OnUnreadableImage, Place, Source};
use repghost_distributed::Group;

use super::shared_data;
use crate::config::data_paths::Split;
use crate::config::{DataSource, Experiment};
use crate::error::TrainError;

/// Part of a data set, ready to be read.
pub struct SplitData {
    /// Images and objects as the annotation file has them.
    pub dataset: Arc<Dataset>,
    /// Samples.
    pub source: Arc<dyn Source>,
    /// Folder of the images; none for pictures that are made in memory.
    pub root: Option<PathBuf>,
    /// Lines for a person: what was left out, what looks wrong.
    pub notes: Vec<String>,
}

/// Whether the experiment's head is trained on masks.
pub fn wants_masks(e: &Experiment) -> bool {
    e.model.head.has_masks()
}

/// Opens a split. `classes` are the wanted names in the order of their labels; `None` takes the experiment's, or all of the file.
///
/// # Errors
/// Paths that are not set or do not exist, annotation files that would poison training.
pub fn open(e: &Experiment, split: Split, classes: Option<&[String]>) -> Result<SplitData, TrainError> {
    open_among(e, split, classes, None)
}

/// As [`open`]; of the processes of a group one per machine reads the annotations. All have to call it.
///
/// # Errors
/// As [`open`]; processes that are gone.
pub fn open_among(
    e: &Experiment,
    split: Split,
    classes: Option<&[String]>,
    group: Option<&Group>,
) -> Result<SplitData, TrainError> {
    let masks = wants_masks(e);
    match e.data.source {
        DataSource::Coco | DataSource::Yolo | DataSource::Voc | DataSource::Cvat | DataSource::Labelme => {
            coco(e, split, classes, group)
        }
        DataSource::Shapes => built_in(e, split, masks),
        DataSource::ImageFolder => {
            Err(TrainError::SourceForTask { source_name: "image_folder", missing: "boxes", expected: "coco or shapes" })
        }
    }
}

fn coco(e: &Experiment, split: Split, classes: Option<&[String]>, group: Option<&Group>) -> Result<SplitData, TrainError> {
    let masks = wants_masks(e);
    let paths = e.split_paths(split)?;
    let options = DatasetOptions {
        classes: classes.map(<[String]>::to_vec).or_else(|| e.data.classes.clone()),
        on_bad_annotation: e.data.on_bad_annotation,
        segmentations: masks,
        // Evaluation counts false alarms on empty images too.
        keep_empty_images: split == Split::Val || e.data.keep_empty,
        // The classes of a trained network, of which a small set may have some only.
        absent_classes: split == Split::Val && classes.is_some(),
        ..Default::default()
    };
    let place = Place { annotations: &paths.annotations, images: paths.images.as_deref(), split: Some(split.key()) };
    let (mut dataset, images) = match group {
        Some(group) => shared_data::open(&place, &options, group)?,
        None => Dataset::open(&place, &options)?,
    };
    if e.data.classes.is_some() {
        // Left out on purpose.
        dataset.report.not_wanted.clear();
    }
    let notes = dataset.report.notes(&format!("data.{}", split.key()));
    let notes = notes.into_iter().map(|note| format!("warning: {note}")).collect();
    let (dataset, root) = (Arc::new(dataset), images.unwrap_or_default());
    shards::of_root(&root)?;
    let source = Arc::new(CocoSource::new(dataset.clone(), &root, e.data.decode(), masks));
    Ok(SplitData { dataset, source, root: Some(root), notes })
}

fn built_in(e: &Experiment, split: Split, masks: bool) -> Result<SplitData, TrainError> {
    let s = &e.data.shapes;
    let (first, count) = match split {
        Split::Train => (0, s.train_images),
        Split::Val => (shapes::FIRST_VAL, s.val_images),
    };
    let dataset = Arc::new(shapes::dataset(s.seed, first, count as u64, &s.picture));
    let source = Arc::new(ShapesSource { seed: s.seed, first, count, config: s.picture.clone(), masks });
    Ok(SplitData { dataset, source, root: None, notes: vec![] })
}

/// What both loaders share.
fn loader_config(e: &Experiment) -> LoaderConfig {
    LoaderConfig {
        batch_size: e.train.batch_size,
        workers: e.data.workers,
        seed: e.train.seed,
        augment: e.data.augment.clone(),
        cache_mb: e.data.cache_mb,
        shard_window: e.data.shard_window,
        on_unreadable_image: e.data.on_unreadable_image,
        ..Default::default()
    }
}

/// A loader to learn from. A data set smaller than a batch makes one small batch. Images with rare classes are repeated where
/// `data.repeat_factor` is set.
///
/// # Errors
/// Settings out of range.
pub fn train_loader(e: &Experiment, data: &SplitData) -> Result<Loader, TrainError> {
    let mut config = loader_config(e);
    config.drop_last = data.source.len() >= config.batch_size;
    let loader = Loader::new(data.source.clone(), config)?;
    match &e.data.repeat_factor {
        Some(factor) => Ok(loader.with_repeats(repeat_factors(&data.dataset, factor).images)?),
        None => Ok(loader),
    }
}

/// What is repeated, for people; `None` where `data.repeat_factor` is not set.
pub fn repeats(e: &Experiment, data: &SplitData, loader: &Loader) -> Option<String> {
    const SHOWN: usize = 5;
    let classes = repeat_factors(&data.dataset, e.data.repeat_factor.as_ref()?).classes;
    let mut shown: Vec<String> = classes.iter().take(SHOWN).map(|(name, factor)| format!("{name} {factor:.2}")).collect();
    if classes.len() > SHOWN {
        shown.push(format!("and {} more", classes.len() - SHOWN));
    }
    let named = if shown.is_empty() { "no class is rarer than the threshold".to_string() } else { shown.join(", ") };
    Some(format!("repeat factor: {} images stand for {} per epoch ({named})", loader.len(), loader.images_per_epoch()))
}

/// A loader to measure on: every image once, in order, nothing drawn. Images that cannot be used were left out of the data set, and named, or
/// refused ([`files::looked_at`](super::files::looked_at)); one that breaks later is an error, as the numbers would be of other data.
///
/// # Errors
/// Settings out of range.
pub fn eval_loader(e: &Experiment, source: Arc<dyn Source>) -> Result<Loader, TrainError> {
    let config =
        LoaderConfig { batch_size: e.eval.batch_size, on_unreadable_image: OnUnreadableImage::Error, ..loader_config(e) };
    Ok(Loader::new(source, config.evaluation())?)
}

/// A loader to predict with: as [`eval_loader`], but images that cannot be read are left out and listed.
///
/// # Errors
/// Settings out of range.
pub fn predict_loader(e: &Experiment, source: Arc<dyn Source>) -> Result<Loader, TrainError> {
    let config = LoaderConfig {
        batch_size: e.eval.batch_size,
        on_unreadable_image: OnUnreadableImage::Skip,
        cache_mb: 0,
        ..loader_config(e)
    };
    Ok(Loader::new(source, config.evaluation())?)
}
