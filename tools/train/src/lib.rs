//! Training, evaluation and prediction: experiments to runs.
//!
//! ```
//! use repghost_train::Loaded;
//!
//! // A built-in experiment with an override; `train::train(&loaded, …)` runs it, and `Predictor::open` reads what comes out.
//! let loaded = Loaded::read("demo".as_ref(), &["train.epochs=2".into()])?;
//! assert_eq!(loaded.experiment.train.epochs, 2);
//!
//! // Mistakes are reported under the user's key, with who set it.
//! let error = Loaded::read("demo".as_ref(), &["train.epochs=-1".into()]).unwrap_err();
//! assert!(error.to_string().contains("train.epochs"), "{error}");
//! # Ok::<(), repghost_train::ConfigError>(())
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | [`train`](mod@train) | a whole run, from an experiment to its end |
//! | [`dry_run`](mod@dry_run) | one batch and an estimate, nothing written |
//! | [`evaluate`], [`predict`](mod@predict), [`features`](mod@features), [`fuse`](mod@fuse) | metrics, detections, feature maps and fused weights from a weights file |
//! | [`compare`](mod@compare) | runs, or files of detections, against each other |
//! | [`prediction_files`] | detections as COCO, YOLO or CSV files, objects cut out |
//! | [`chosen_thresholds`] | score thresholds that were chosen for a run's weights |
//! | [`predictor`], [`weights_file`] | from a weights file to detections in a few lines; a weights file, read once |
//! | [`engine`], [`inference`] | what finds objects, in any runtime; images through it |
//! | [`images`], [`video`] | image files: finding and reading them; videos and streams through ffmpeg |
//! | [`analyze`] | parameters, multiply-adds and activations of a network, part by part |
//! | [`config`] | experiment files: inheritance, overrides, typed keys, errors that name key and file |
//! | [`detection`], [`classification`] | data, model and metrics of detectors and of classifiers |
//! | [`model`] | what both have in common: classes, device, freezing |
//! | [`trainer`] | the loop, which owns order only, and its hooks |
//! | [`optim`], [`schedule`], [`ema`] | update rules, learning rate schedules, the moving average of the weights |
//! | [`checkpoint`] | complete, checked, atomic checkpoints; which of them are kept |
//! | [`run`] | the run folder: lock, records, metrics.jsonl, TensorBoard, progress |
//! | [`plots`], [`report`] | the course of a run, precision over recall; runs and sweeps as one self-contained page |
//! | [`sweep`] | ablations: one base, axes, seeds; trials, tables, pictures |
//! | [`environment`], [`memory`], [`runtime`] | versions, libraries, devices; memory in use; libtorch's device, precision, variables and threads |
//! | [`error`] | errors: one enum, one line each |

pub mod analyze;
pub mod auto_batch;
mod cards;
pub mod checkpoint;
pub mod chosen_thresholds;
pub mod classification;
pub mod compare;
pub mod config;
pub mod detection;
pub mod dry_run;
pub mod ema;
pub mod engine;
pub mod environment;
pub mod error;
pub mod evaluate;
pub mod features;
pub mod fuse;
pub mod images;
pub mod inference;
pub mod memory;
pub mod model;
pub mod optim;
pub mod plots;
pub mod predict;
pub mod prediction_files;
pub mod predictor;
mod pretrained;
pub mod report;
pub mod run;
pub mod runtime;
pub mod schedule;
pub mod sweep;
mod tensors;
pub mod together;
pub mod train;
pub mod trainer;
mod upload;
pub mod video;
pub mod weights_file;

pub use config::{ConfigError, Experiment, Loaded};
pub use error::TrainError;
pub use predictor::{DetectedObject, Predictor};
pub use weights_file::WeightsFile;
