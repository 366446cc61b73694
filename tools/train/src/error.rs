//! Errors of training, evaluation and prediction.
//!
//! Each displays as one line that names the file, key or field and what to do. Keys are those of an experiment file; a field
//! ([`TrainError::Argument`]) is an argument of the called function. Exit codes and flags belong to the command line.

use std::path::PathBuf;

use repghost_backbone::weights::Form;

use crate::config::Task;

/// Why training, evaluation or prediction failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file could not be read, written or renamed.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// Processes that train together cannot go on.
    #[error(transparent)]
    Distributed(#[from] repghost_distributed::DistributedError),
    /// A file of score thresholds is none.
    #[error("{path}: no file of thresholds as an evaluation writes it: {reason}", path = .path.display())]
    Thresholds {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The value of a key of the experiment cannot work.
    #[error("{key}: {problem}")]
    Setting {
        /// Dotted key.
        key: String,
        /// What is wrong with the value, and what would work.
        problem: String,
    },
    /// An argument of a function is out of range.
    #[error("{field}: {problem}")]
    Argument {
        /// Name of the field.
        field: &'static str,
        /// The value, and what is expected.
        problem: String,
    },
    /// A video or stream could not be read or written.
    #[error("{input}: {problem}", input = .input.display())]
    Video {
        /// The file or address.
        input: PathBuf,
        /// Why, and what to do.
        problem: String,
    },
    /// There is no image where at least one is needed.
    #[error("there are no images {purpose}")]
    NoImages {
        /// `to train on`, `to compare on`.
        purpose: &'static str,
    },
    /// A folder holds no image file.
    #[error("{path}: no image in this folder ({endings}){nested}", path = .path.display(), nested = if *.folders > 0 { "; its subfolders were not searched" } else { "" })]
    NoImagesInFolder {
        /// The folder.
        path: PathBuf,
        /// File name endings of images.
        endings: String,
        /// Subfolders that were not searched.
        folders: usize,
    },
    /// Images of a split that cannot be used, found before the first step.
    #[error("{what}: {count} of {total} images cannot be used ({first}); `repghost-det data check` lists them, data.on_unreadable_image=skip leaves them out")]
    BadImages {
        /// `data.train` or `data.val`.
        what: String,
        /// How many.
        count: usize,
        /// Images of the split.
        total: usize,
        /// The first few, with their causes.
        first: String,
    },
    /// A mask head, and objects without outlines.
    #[error("{path}: none of its {objects} objects has an outline (segmentation), which model.head.name={head} learns; take model.head.name=faster_rcnn for boxes alone", path = .path.display())]
    NoOutlines {
        /// The annotation file.
        path: PathBuf,
        /// The head.
        head: String,
        /// Objects in it.
        objects: usize,
    },
    /// Every image of an epoch was skipped as unreadable.
    #[error("not a single image of epoch {epoch} could be read; look at data.train.images, or set data.on_unreadable_image: error to see the first cause")]
    EmptyEpoch {
        /// Number of the epoch, from 1.
        epoch: usize,
    },
    /// The head does not learn the task.
    #[error("model.head.name: {head} is not a {}; expected {expected}", match .task { Task::Detection => "detector", Task::Classification => "classifier" })]
    HeadForTask {
        /// Name of the head.
        head: String,
        /// What was to be built.
        task: Task,
        /// Heads that learn the task.
        expected: String,
    },
    /// The data source has no labels of the task's kind.
    #[error("data.source: {source_name} has no {missing}; expected {expected}")]
    SourceForTask {
        /// The value of `data.source`.
        source_name: &'static str,
        /// `boxes`, `image classes`.
        missing: &'static str,
        /// Sources that have them.
        expected: &'static str,
    },
    /// The weights and the data have different numbers of classes.
    #[error("the weights have {weights} classes, {place} has {data}; they must be the same classes")]
    ClassesMismatch {
        /// Classes of the weights.
        weights: usize,
        /// Classes of the data.
        data: usize,
        /// Where the data's were found.
        place: &'static str,
    },
    /// Class names or ids that cannot be used.
    #[error("classes: {0}")]
    Classes(String),
    /// A weights file holds no classifier of the experiment's network.
    #[error("{path}: holds no classifier of {network} (there is no {layer})", path = .path.display())]
    NotAClassifier {
        /// The file.
        path: PathBuf,
        /// The network.
        network: String,
        /// The tensor that is missing.
        layer: String,
    },
    /// A weights file was made by other software: it does not describe its network.
    #[error("{path}: does not describe its network (no experiment in its metadata); name an experiment file or a run folder", path = .path.display())]
    NoExperiment {
        /// The file.
        path: PathBuf,
    },
    /// Fused weights where a run is to start from them.
    #[error("{path}: the weights are in {form} form, in which training branches or batch norms are folded away; a run starts from the training form", path = .path.display())]
    FusedWeights {
        /// The file.
        path: PathBuf,
        /// Its form.
        form: Form,
    },
    /// Fusing changes nothing: the weights are fused already, or have no branches.
    #[error("{path}: nothing to fold, the weights are in {form} form", path = .path.display())]
    NothingToFuse {
        /// The file.
        path: PathBuf,
        /// Its form.
        form: Form,
    },
    /// Fusing changed the outputs by more than rounding.
    #[error(
        "folding changed the outputs by {difference:.3e} (their largest value is {largest:.3e}), which is more than rounding, so nothing was \
         written; are the batch norms' running variances sound?"
    )]
    FuseDiffers {
        /// Largest absolute difference.
        difference: f64,
        /// Largest absolute output.
        largest: f64,
    },
    /// Part of the backbone is to be frozen at its random initial values.
    #[error(
        "train.batch_norm.{key} freezes what the backbone starts with, but nothing was loaded into it: set init.backbone or init.detector, or \
         switch it off"
    )]
    FreezesRandomWeights {
        /// The key below `train.batch_norm`.
        key: &'static str,
    },
    /// Every parameter is frozen.
    #[error("every parameter is frozen: nothing to train (see train.batch_norm.frozen_stages)")]
    NothingToTrain,
    /// A loss or a gradient is not finite.
    #[error(transparent)]
    NotFinite(Box<NotFinite>),
    /// The optimizer's saved state does not fit.
    #[error("optimizer state: {tensor} {problem}")]
    OptimizerState {
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The saved average of the weights does not fit.
    #[error("the average of {tensor} is missing or has another shape")]
    AverageState {
        /// The averaged tensor.
        tensor: String,
    },
    /// A checkpoint belongs to another network.
    #[error("the checkpoint does not fit the experiment's model: {problem}")]
    CheckpointMismatch {
        /// The first tensor that differs.
        problem: String,
    },
    /// A checkpoint cannot be used.
    #[error("{path}: {problem}", path = .path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: CheckpointProblem,
    },
    /// The run folder cannot be used.
    #[error("{path}: {problem}", path = .path.display())]
    RunFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        problem: RunFolderProblem,
    },
    /// A picture could not be drawn.
    #[error("{path}: cannot draw: {reason}", path = .path.display())]
    Drawing {
        /// The file.
        path: PathBuf,
        /// The drawing crate's error.
        reason: String,
    },
    /// A value could not be written as JSON.
    #[error("{what}: {source}")]
    Json {
        /// What was to be written.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// Weights could not be read, written or loaded.
    #[error(transparent)]
    Weights(#[from] repghost_backbone::weights::WeightsError),
    /// The experiment file cannot be used.
    #[error(transparent)]
    Experiment(#[from] crate::config::ConfigError),
    /// Images cannot be read.
    #[error(transparent)]
    Data(#[from] repghost_coco::DataError),
    /// An annotation file cannot be used.
    #[error(transparent)]
    Annotation(#[from] repghost_coco::AnnotationError),
    /// The settings make no detector.
    #[error(transparent)]
    Head(#[from] repghost_heads::HeadError),
    /// The settings make no backbone.
    #[error(transparent)]
    Backbone(#[from] repghost_backbone::registry::RegistryError),
    /// Detections could not be measured.
    #[error(transparent)]
    Metric(#[from] repghost_coco::MetricError),
    /// A card was asked for by name and cannot be used.
    #[error("run.device: {wanted} cannot be used: {source}")]
    Device {
        /// What was asked for.
        wanted: repghost_kernels::device::Choice,
        /// Why not.
        source: repghost_kernels::device::NoCuda,
    },
    /// A runtime other than libtorch failed.
    #[error("{0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// libtorch refused an operation.
    #[error("libtorch: {}", first_line(.0))]
    Torch(#[from] tch::TchError),
    /// libtorch refused an operation that tch does not bind.
    #[error(transparent)]
    Shim(#[from] repghost_kernels::ShimError),
}

/// A loss or a gradient norm that is not finite, and the step where it happened.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{what} is not finite at step {step} (epoch {epoch}): {}; learning rate {lr:.3e}; images: {}. A lower train.optimizer.lr, a longer \
     warm-up or train.clip_grad_norm may help",
    self.table(),
    .images.join(", ")
)]
pub struct NotFinite {
    /// `a loss`, `the gradient's norm`.
    pub what: &'static str,
    /// Step, from 1.
    pub step: u64,
    /// Epoch, from 1.
    pub epoch: usize,
    /// Each loss by name.
    pub losses: Vec<(String, f64)>,
    /// Norm of the gradient, where the losses are finite.
    pub gradient_norm: Option<f64>,
    /// Learning rate.
    pub lr: f64,
    /// The step's images: id and file name.
    pub images: Vec<String>,
}

impl NotFinite {
    fn table(&self) -> String {
        let mut table: Vec<String> = self.losses.iter().map(|(name, v)| format!("{name} {v}")).collect();
        table.extend(self.gradient_norm.map(|n| format!("gradient norm {n}")));
        table.join(", ")
    }
}

/// Why a file is no usable checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointProblem {
    /// It has no position and checksum.
    #[error("not a training checkpoint (a weights file starts a new run: init.detector=FILE)")]
    NotACheckpoint,
    /// Its bytes changed after it was written.
    #[error("damaged: checksum {found}, the file records {expected}")]
    Checksum {
        /// Checksum of the content.
        found: String,
        /// Checksum in the file.
        expected: String,
    },
    /// The record of the run's position cannot be parsed, or not be written.
    #[error("damaged: {0}")]
    Progress(#[from] serde_json::Error),
    /// It is of another version of the program.
    #[error("layout version {found}, this program reads {expected}")]
    Layout {
        /// Version of the file.
        found: u32,
        /// Version that is read.
        expected: u32,
    },
}

/// Why a folder cannot be used as a run's.
#[derive(Debug, thiserror::Error)]
pub enum RunFolderProblem {
    /// A new run was to start in a folder that holds something.
    #[error("the run folder is not empty")]
    NotEmpty,
    /// There is no run to resume.
    #[error("nothing to resume here: no such run folder, or an empty one")]
    NothingToResume,
    /// Another process trains in it.
    #[error("another process{} trains in this run folder; wait until it has ended, or stop it", pid.map_or(String::new(), |p| format!(" ({p})")))]
    InUse {
        /// The other process, where it is recorded.
        pid: Option<u32>,
    },
    /// It is neither a run's nor a sweep's folder.
    #[error("neither a run folder (which has config.yaml) nor a sweep's (which has trials/)")]
    NeitherRunNorSweep,
    /// There is no such folder.
    #[error("no such folder; expected a run folder or a sweep's folder")]
    Missing,
    /// A sweep's folder without its table.
    #[error("there is no {table} yet: the sweep's table was not written")]
    NoTable {
        /// Name of the file.
        table: &'static str,
    },
    /// A run without detections of an evaluation.
    #[error("no detections.json here: only runs of detectors that were evaluated can be compared")]
    NoDetections,
    /// A trial of a sweep was started with another experiment.
    #[error("this trial was started with another experiment (different: {keys}); use another folder, or delete the trial")]
    OtherExperiment {
        /// The first keys that differ.
        keys: String,
    },
    /// A trial of a sweep is still trained by a process of a sweep that was killed.
    #[error("process {pid} of a sweep that was killed still trains this trial; wait for it or stop it")]
    TrialRuns {
        /// The process.
        pid: u32,
    },
}

impl TrainError {
    /// An [`TrainError::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// A [`TrainError::Setting`].
    pub fn setting(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting { key: key.into(), problem: problem.into() }
    }
}

/// First line of libtorch's message, which carries a C++ stack of 20 lines behind it.
fn first_line(e: &tch::TchError) -> String {
    e.to_string().lines().next().unwrap_or_default().to_string()
}
