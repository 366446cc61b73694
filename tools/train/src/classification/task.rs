//! Classification as a task for the trainer.

use std::collections::BTreeMap;
use std::sync::Arc;

use repghost_backbone::{Backbone, Eager, Tree};
use repghost_coco::classify::ImageFolder;
use repghost_coco::Loader;
use repghost_heads::Losses;
use tch::{Kind, Reduction, Tensor};

use super::{data, infer, model, pictures, Accuracy};
use crate::config::data_paths::Split;
use crate::config::{Experiment, HeadConfig, Loaded};
use crate::error::TrainError;
use crate::model::{apply_freezing, copy_switches, metadata, named, shortened};
use crate::run::folder::sheet;
use crate::runtime::Compute;
use crate::tensors;
use crate::together::{gathered, Together};
use crate::trainer::{Batches, EvalContext, Evaluation, ImageTask, Replica, Task};
use crate::upload::{self, DeviceBatch};

/// Labels that take no part in the loss; there are none, but the operator wants a number.
const NO_LABEL: i64 = -100;

/// A classifier, its data and its measure.
pub struct ClassificationTask {
    /// The network.
    pub net: Backbone,
    /// Class names by label.
    pub classes: Vec<String>,
    compute: Compute,
    label_smoothing: f64,
    train: Loader,
    val: Loader,
    source: Arc<ImageFolder>,
    metadata: BTreeMap<String, String>,
    experiment: Experiment,
    notes: Vec<String>,
}

impl ClassificationTask {
    /// Opens the folders, builds the network, loads initial weights and freezes what is to be frozen.
    ///
    /// # Errors
    /// Data, settings and files that cannot be used.
    pub fn new(loaded: &Loaded) -> Result<Self, TrainError> {
        Self::among(loaded, None)
    }

    /// As [`ClassificationTask::new`], for one of several processes.
    ///
    /// # Errors
    /// As there.
    pub fn among(loaded: &Loaded, together: Option<&Together>) -> Result<Self, TrainError> {
        let e = &loaded.experiment;
        // First: libtorch looks for its CUDA half once.
        let compute = Compute::start(e)?;
        let HeadConfig::Classifier(head) = &e.model.head else {
            return Err(TrainError::HeadForTask {
                head: e.model.head.name().into(),
                task: crate::config::Task::Classification,
                expected: "classifier".into(),
            });
        };
        let train = data::open(e, Split::Train, None)?;
        let classes = train.classes().to_vec();
        let val = data::open(e, Split::Val, Some(&classes))?;
        let mut notes = vec![compute.note(), summary(&train, &val)];
        let net = model::build(e, classes.len())?;
        notes.extend(model::initialise(e, &net)?);
        notes.extend(apply_freezing(e, &net)?);
        net.convert(compute.device, Kind::Float);
        let (mut learned, mut measured) = (data::train_loader(e, train)?, data::eval_loader(e, val.clone())?);
        if let Some(together) = together {
            (learned, measured) = (learned.with_share(together.share())?, measured.with_share(together.share())?);
        }
        if compute.device.is_cuda() {
            learned = learned.with_bytes()?;
        }
        Ok(Self {
            experiment: e.clone(),
            metadata: metadata("classifier", &loaded.to_yaml(false), &named(&classes)),
            label_smoothing: head.label_smoothing,
            train: learned,
            val: measured,
            source: val,
            net,
            classes,
            compute,
            notes,
        })
    }
}

fn summary(train: &ImageFolder, val: &ImageFolder) -> String {
    use repghost_coco::Source;
    let counts = train.counts();
    let (least, most) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    format!(
        "data: {} images to train on ({least} to {most} a class), {} to measure on, {} classes ({})",
        train.len(),
        val.len(),
        counts.len(),
        shortened(train.classes())
    )
}

impl Task for ClassificationTask {
    type Batch = DeviceBatch;

    fn network(&self) -> &dyn Tree {
        &self.net
    }

    fn batches_per_epoch(&self) -> usize {
        self.train.batches_per_epoch()
    }

    fn images_per_epoch(&self) -> Option<usize> {
        Some(self.train.len())
    }

    fn batches(&self, epoch: usize, skip: usize) -> Result<Batches<DeviceBatch>, TrainError> {
        Ok(upload::batches(self.train.epoch(epoch, skip), self.compute.device))
    }

    fn is_placeholder(&self, batch: &DeviceBatch) -> bool {
        batch.batch.placeholder
    }

    fn losses(&self, batch: &DeviceBatch) -> Result<Losses, TrainError> {
        losses(&self.net, batch, &self.compute, self.label_smoothing)
    }

    fn replica(&self) -> Result<Box<dyn Replica<DeviceBatch>>, TrainError> {
        let net = model::build(&self.experiment, self.classes.len())?;
        net.convert(self.compute.device, Kind::Float);
        copy_switches(&self.net, &net);
        Ok(Box::new(ClassifierReplica { net, compute: self.compute.clone(), label_smoothing: self.label_smoothing }))
    }

    fn split(&self, batch: DeviceBatch, parts: usize) -> Vec<DeviceBatch> {
        tensors::split(batch.batch, parts).into_iter().map(DeviceBatch::from).collect()
    }

    fn images(&self, batch: &DeviceBatch) -> Vec<String> {
        batch.batch.targets.iter().map(|t| t.file_name.clone()).collect()
    }

    fn evaluate(&self, context: &mut EvalContext) -> Result<Evaluation, TrainError> {
        let mut scored = infer::run(&self.net, &self.val, context.stop, context.progress)?;
        if let Some(group) = context.group {
            scored = gathered(group, scored)?;
        }
        let Some(mut scored) = scored else { return Ok(Evaluation::Interrupted) };
        // Of each batch every process has a part.
        scored.sort_by_key(|image| image.image_id);
        let accuracy = Accuracy::of(&scored, &self.classes);
        let metrics = accuracy.named().map(|(name, value)| (name.to_string(), value)).to_vec();
        if context.group.is_some_and(|group| !group.is_first()) {
            return Ok(Evaluation::Done { metrics, headline: accuracy.top1 });
        }
        accuracy.write(context.folder.root())?;
        pictures::sheet(self.source.as_ref(), &scored, &self.classes, &sheet(&context.folder.predictions(), context.step))?;
        Ok(Evaluation::Done { metrics, headline: accuracy.top1 })
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        self.metadata.clone()
    }
}

/// A copy of the classifier.
struct ClassifierReplica {
    net: Backbone,
    compute: Compute,
    label_smoothing: f64,
}

impl Replica<DeviceBatch> for ClassifierReplica {
    fn network(&self) -> &dyn Tree {
        &self.net
    }

    fn losses(&self, batch: &DeviceBatch) -> Result<Losses, TrainError> {
        losses(&self.net, batch, &self.compute, self.label_smoothing)
    }
}

fn losses(net: &Backbone, batch: &DeviceBatch, compute: &Compute, label_smoothing: f64) -> Result<Losses, TrainError> {
    let pixels = tensors::device_images(batch, compute.device)?.pixels;
    let labels: Vec<i64> = batch.batch.targets.iter().map(|t| t.labels.first().copied().unwrap_or(NO_LABEL)).collect();
    let labels = tensors::upload(&Tensor::from_slice(&labels), compute.device);
    let _lowered = compute.lowered()?;
    let logits = net.classify(&mut Eager::train(), &pixels);
    let loss = logits.f_to_kind(Kind::Float)?.f_cross_entropy_loss(
        &labels,
        None::<&Tensor>,
        Reduction::Mean,
        NO_LABEL,
        label_smoothing,
    )?;
    Ok([("cross_entropy", loss)].into())
}

impl ImageTask for ClassificationTask {
    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn backbone(&self) -> &Backbone {
        &self.net
    }

    fn image_counts(&self) -> [usize; 2] {
        [self.train.len(), self.val.len()]
    }
}
