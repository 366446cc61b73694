//! Detection as a task for the trainer.

use std::collections::BTreeMap;
use std::sync::Arc;

use repghost_backbone::dropout::Share;
use repghost_backbone::region::over_images;
use repghost_backbone::{Backbone, Eager, Tree};
use repghost_coco::{DataError, Dataset, Detection, Loader, Sample, Source};
use repghost_heads::{Detector, Losses};
use tch::{Device, Kind};

use super::engine::LibtorchPool;
use super::files::looked_at;
use super::model::{self, Class};
use super::{data, pictures};
use crate::chosen_thresholds::Cutoffs;
use crate::config::data_paths::Split;
use crate::config::{Experiment, Loaded, Means};
use crate::error::TrainError;
use crate::evaluate::{self, Measured};
use crate::inference::{run, Job};
use crate::model::{apply_freezing, copy_switches, metadata, shortened};
use crate::run::folder::sheet;
use crate::runtime::Compute;
use crate::tensors;
use crate::together::{from_first, Together};
use crate::trainer::{Batches, EvalContext, Evaluation, ImageTask, Replica, Task};
use crate::upload::{self, DeviceBatch};

/// A detector, its data and its measure.
pub struct DetectionTask {
    /// The network.
    pub detector: Detector,
    /// Its classes, by label.
    pub classes: Vec<Class>,
    compute: Compute,
    masks: bool,
    train: Loader,
    val: Loader,
    /// The detector on the same storage, so that it evaluates what was trained so far.
    evaluator: LibtorchPool,
    truth: Arc<Dataset>,
    /// The classes with the ids of the validation data, which may differ from those of the training data.
    val_classes: Vec<Class>,
    source: Arc<dyn Source>,
    metadata: BTreeMap<String, String>,
    experiment: Experiment,
    notes: Vec<String>,
}

impl DetectionTask {
    /// Opens the data, builds the detector, loads initial weights and freezes what is to be frozen.
    ///
    /// # Errors
    /// Data, settings and files that cannot be used.
    pub fn new(loaded: &Loaded) -> Result<Self, TrainError> {
        Self::among(loaded, None)
    }

    /// As [`DetectionTask::new`], for one of several processes.
    ///
    /// # Errors
    /// As there.
    pub fn among(loaded: &Loaded, together: Option<&Together>) -> Result<Self, TrainError> {
        let e = &loaded.experiment;
        // First: libtorch looks for its CUDA half once.
        let compute = Compute::start(e)?;
        let open =
            |split, names: Option<&[String]>| looked_at(e, split, data::open_among(e, split, names, together.map(|t| &t.group))?);
        let train = open(Split::Train, None)?;
        let classes = model::classes_of(&train.dataset);
        let names: Vec<String> = classes.iter().map(|c| c.name.clone()).collect();
        let val = open(Split::Val, Some(&names))?;
        let mut notes = vec![compute.note(), summary(&train.dataset, &val.dataset, &names)];
        for (split, data) in [(Split::Train, &train), (Split::Val, &val)] {
            notes.extend(data.notes.iter().cloned());
            notes.extend(outlines(e, split, &data.dataset)?);
        }
        let detector = model::build(e, classes.len())?;
        notes.extend(model::initialise(e, &detector)?);
        notes.extend(apply_freezing(e, &detector.backbone().body)?);
        detector.convert(compute.device, Kind::Float);
        let (source, truth) = (val.source.clone(), val.dataset.clone());
        let mut loader = data::train_loader(e, &train)?;
        if let Some(together) = together {
            loader = loader.with_share(together.share())?;
        }
        if compute.device.is_cuda() {
            loader = loader.with_bytes()?;
        }
        notes.extend(data::repeats(e, &train, &loader));
        Ok(Self {
            experiment: e.clone(),
            metadata: metadata("detector", &loaded.to_yaml(false), &classes),
            masks: data::wants_masks(e),
            train: loader,
            val: data::eval_loader(e, val.source)?,
            evaluator: LibtorchPool::resized(e, shared(e, &detector, classes.len(), compute.device)?, classes.clone()),
            truth: truth.clone(),
            source,
            detector,
            val_classes: model::classes_of(&truth),
            classes,
            compute,
            notes,
        })
    }
}

/// A detector with the tensors of another: what changes in one changes in both.
fn shared(e: &Experiment, detector: &Detector, classes: usize, device: Device) -> Result<Detector, TrainError> {
    let same = model::build(e, classes)?;
    same.convert(device, Kind::Float);
    for (mut own, theirs) in same.named_tensors().into_iter().zip(detector.named_tensors()) {
        own.tensor.set_data(&theirs.tensor);
    }
    copy_switches(detector, &same);
    Ok(same)
}

/// Samples as a loader resizes them, from its cache where it has one.
struct LoaderSource<'a>(&'a Loader);

impl Source for LoaderSource<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn aspect(&self, _: usize) -> f64 {
        1.0
    }

    fn load(&self, index: usize) -> Result<Sample, DataError> {
        self.0.sample(0, index)
    }
}

fn summary(train: &Dataset, val: &Dataset, names: &[String]) -> String {
    let objects = |d: &Dataset| (0..d.len()).map(|i| d.training_objects(i).count()).sum::<usize>();
    format!(
        "data: {} images with {} objects to train on, {} with {} to measure on, {} classes ({})",
        train.len(),
        objects(train),
        val.len(),
        objects(val),
        names.len(),
        shortened(names)
    )
}

/// Counts objects without an outline, which a mask head cannot learn.
///
/// # Errors
/// A split with objects of which none has one.
fn outlines(e: &Experiment, split: Split, dataset: &Dataset) -> Result<Option<String>, TrainError> {
    if !data::wants_masks(e) {
        return Ok(None);
    }
    let objects = || (0..dataset.len()).flat_map(|i| dataset.training_objects(i));
    let (total, without) = (objects().count(), objects().filter(|(object, _)| object.segmentation.is_none()).count());
    if total > 0 && total == without {
        let (path, head) = (dataset.path.clone(), e.model.head.name().to_string());
        return Err(TrainError::NoOutlines { path, head, objects: total });
    }
    let effect = match split {
        Split::Train => "they are learned as background",
        Split::Val => "their boxes stand for their masks",
    };
    let what = split.key();
    Ok((without > 0).then(|| format!("warning: data.{what}: {without} of {total} objects have no outline: {effect}")))
}

impl Task for DetectionTask {
    type Batch = DeviceBatch;

    fn network(&self) -> &dyn Tree {
        &self.detector
    }

    fn batches_per_epoch(&self) -> usize {
        self.train.batches_per_epoch()
    }

    fn images_per_epoch(&self) -> Option<usize> {
        Some(self.train.images_per_epoch())
    }

    fn batches(&self, epoch: usize, skip: usize) -> Result<Batches<DeviceBatch>, TrainError> {
        Ok(upload::batches(self.train.epoch(epoch, skip), self.compute.device))
    }

    fn seed_step(&self, seed: u64, step: u64) {
        self.detector.set_sampling(seed, step);
    }

    fn set_share(&self, share: Share) {
        self.detector.set_first_image(share.first);
    }

    fn is_placeholder(&self, batch: &DeviceBatch) -> bool {
        batch.batch.placeholder
    }

    fn losses(&self, batch: &DeviceBatch) -> Result<Losses, TrainError> {
        losses(&self.detector, batch, &self.compute, self.experiment.train.means)
    }

    fn replica(&self) -> Result<Box<dyn Replica<DeviceBatch>>, TrainError> {
        let detector = model::build(&self.experiment, self.classes.len())?;
        detector.convert(self.compute.device, Kind::Float);
        copy_switches(&self.detector, &detector);
        Ok(Box::new(DetectorReplica { detector, compute: self.compute.clone(), means: self.experiment.train.means }))
    }

    fn split(&self, batch: DeviceBatch, parts: usize) -> Vec<DeviceBatch> {
        tensors::split(batch.batch, parts).into_iter().map(DeviceBatch::from).collect()
    }

    fn images(&self, batch: &DeviceBatch) -> Vec<String> {
        batch.batch.targets.iter().map(|t| format!("{} ({})", t.image_id, t.file_name)).collect()
    }

    fn evaluate(&self, context: &mut EvalContext) -> Result<Evaluation, TrainError> {
        let job = Job {
            source: &LoaderSource(&self.val),
            pool: &self.evaluator,
            classes: &self.val_classes,
            score_threshold: self.experiment.eval.score_threshold,
            cutoffs: Cutoffs::default(),
            skip_unreadable: false,
            threads: self.experiment.train.threads,
            group: context.group,
        };
        let inferred = run(&job, context.stop, context.progress, None)?;
        let Some(found) = inferred.map(|inferred| inferred.images) else { return Ok(Evaluation::Interrupted) };
        if let Some(group) = context.group.filter(|group| !group.is_first()) {
            let (metrics, headline): (_, Option<f64>) = from_first(group, None)?;
            return Ok(Evaluation::Done { metrics, headline: headline.unwrap_or(f64::NAN) });
        }
        let detections: Vec<Detection> = found.iter().flat_map(|f| f.objects.iter().cloned()).collect();
        let measured = Measured::new(&self.truth, detections, self.masks)?;
        measured.write(context.folder.root())?;
        let sheet = sheet(&context.folder.predictions(), context.step);
        pictures::sheet(&self.source, &self.truth, &found, self.masks, &sheet)?;
        let (metrics, headline) = (evaluate::short(&measured), measured.headline());
        if let Some(group) = context.group {
            // JSON has no NaN.
            from_first(group, Some((metrics.clone(), Some(headline).filter(|h| !h.is_nan()))))?;
        }
        Ok(Evaluation::Done { metrics, headline })
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        self.metadata.clone()
    }

    fn warnings(&self) -> Vec<String> {
        self.train.new_unreadable()
    }
}

/// A copy of the detector.
struct DetectorReplica {
    detector: Detector,
    compute: Compute,
    means: Means,
}

impl Replica<DeviceBatch> for DetectorReplica {
    fn network(&self) -> &dyn Tree {
        &self.detector
    }

    fn seed_step(&self, seed: u64, step: u64) {
        self.detector.set_sampling(seed, step);
    }

    fn losses(&self, batch: &DeviceBatch) -> Result<Losses, TrainError> {
        losses(&self.detector, batch, &self.compute, self.means)
    }
}

fn losses(detector: &Detector, batch: &DeviceBatch, compute: &Compute, means: Means) -> Result<Losses, TrainError> {
    let images = tensors::device_images(batch, compute.device)?;
    let _lowered = compute.lowered()?;
    let run = || detector.losses(&mut Eager::train(), &images, &tensors::targets(&batch.batch));
    Ok(match (means, &images.pixels.size()[..]) {
        (Means::Image, [_, _, height, width]) => over_images([*height, *width], &images.sizes, run),
        _ => run(),
    })
}

impl ImageTask for DetectionTask {
    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn backbone(&self) -> &Backbone {
        &self.detector.backbone().body
    }

    fn image_counts(&self) -> [usize; 2] {
        [self.train.len(), self.val.len()]
    }
}
