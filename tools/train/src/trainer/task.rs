//! What is learned, as the trainer sees it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use repghost_backbone::dropout::Share;
use repghost_backbone::{Backbone, Tree};
use repghost_distributed::Group;
use repghost_heads::Losses;

use crate::error::TrainError;
use crate::run::RunFolder;
use crate::upload::DeviceBatch;

/// Batches of an epoch, in order.
pub type Batches<B> = Box<dyn Iterator<Item = Result<B, TrainError>>>;

/// A network, its data, its losses and its measure. The trainer uses nothing else of any of them.
pub trait Task {
    /// Images and targets of one forward.
    type Batch: Send + 'static;

    /// The network.
    fn network(&self) -> &dyn Tree;

    /// Batches of an epoch.
    fn batches_per_epoch(&self) -> usize;

    /// Images of an epoch, where the task counts them: a resumed run compares them with those of its checkpoint.
    fn images_per_epoch(&self) -> Option<usize> {
        None
    }

    /// The batches of an epoch from number `skip` on. The same call gives the same batches, on any day.
    ///
    /// # Errors
    /// Data that cannot be read.
    fn batches(&self, epoch: usize, skip: usize) -> Result<Batches<Self::Batch>, TrainError>;

    /// Called before the first forward of each step: whatever the losses draw, other than dropout, depends on these two only.
    fn seed_step(&self, seed: u64, step: u64) {
        let _ = (seed, step);
    }

    /// Called before a forward where the batch is this process's share of a larger one.
    fn set_share(&self, share: Share) {
        let _ = share;
    }

    /// Whether a batch only stands in for a share without images.
    fn is_placeholder(&self, batch: &Self::Batch) -> bool {
        let _ = batch;
        false
    }

    /// Forward in training mode: scalar losses, to be summed.
    ///
    /// # Errors
    /// When libtorch fails.
    fn losses(&self, batch: &Self::Batch) -> Result<Losses, TrainError>;

    /// A copy of the network for `train.replicas`. Its weights are replaced by the task's own.
    ///
    /// # Errors
    /// Tasks that cannot be copied, as by default.
    fn replica(&self) -> Result<Box<dyn Replica<Self::Batch>>, TrainError> {
        Err(TrainError::setting("train.replicas", "this task trains one copy of its network only; expected 1"))
    }

    /// Cuts a batch into at most `parts` shards, none of them empty.
    fn split(&self, batch: Self::Batch, parts: usize) -> Vec<Self::Batch> {
        let _ = parts;
        vec![batch]
    }

    /// The batch's images by id and file name, for messages.
    fn images(&self, batch: &Self::Batch) -> Vec<String>;

    /// Measures the network as it is.
    ///
    /// # Errors
    /// Data that cannot be read, a disk that is full.
    fn evaluate(&self, context: &mut EvalContext) -> Result<Evaluation, TrainError>;

    /// What a person should look at since the last call, such as images that were skipped; called at the end of each epoch.
    fn warnings(&self) -> Vec<String> {
        vec![]
    }

    /// Metadata of weight files: experiment, classes.
    fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

/// A copy of a task's network that a thread of its own can run.
pub trait Replica<B>: Send {
    /// The network: the same names and shapes as the task's.
    fn network(&self) -> &dyn Tree;

    /// See [`Task::seed_step`].
    fn seed_step(&self, seed: u64, step: u64) {
        let _ = (seed, step);
    }

    /// See [`Task::losses`].
    ///
    /// # Errors
    /// When libtorch fails.
    fn losses(&self, batch: &B) -> Result<Losses, TrainError>;
}

/// A task on images, as training runs and dry runs use it.
pub trait ImageTask: Task<Batch = DeviceBatch> {
    /// Lines for the user: what was read, loaded, frozen.
    fn notes(&self) -> &[String];

    /// The part of the network that sees the image.
    fn backbone(&self) -> &Backbone;

    /// Images to learn from and to measure on.
    fn image_counts(&self) -> [usize; 2];
}

/// The surroundings of an evaluation.
pub struct EvalContext<'a> {
    /// Where numbers, detections and pictures go.
    pub folder: &'a RunFolder,
    /// Optimizer steps done.
    pub step: u64,
    /// Set when the user wants to stop: the evaluation may end at once with [`Evaluation::Interrupted`].
    pub stop: &'a AtomicBool,
    /// Called with images done and images in all.
    pub progress: &'a mut dyn FnMut(usize, usize),
    /// The processes that measure together, each a part of the images; all of them return the same numbers, the first one writes.
    pub group: Option<&'a Group>,
}

/// How an evaluation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Evaluation {
    /// With numbers.
    Done {
        /// Numbers by name.
        metrics: Vec<(String, f64)>,
        /// The number that decides what is best; more is better. Not a number where there was nothing to measure.
        headline: f64,
    },
    /// The user stopped it.
    Interrupted,
}
