//! Training, evaluation and prediction: experiments to runs.
//!
//! | module | what is in it |
//! |---|---|
//! | [`analyze`] | what a network costs, part by part |
//! | [`classification`] | data, model and measure of classifiers |
//! | [`config`] | experiment files: inheritance, overrides, typed keys, errors that name key and file |
//! | [`optim`] | SGD and AdamW with saved state, gradients as values, parameter groups |
//! | [`schedule`] | step to learning rate |
//! | [`ema`] | the moving average of the weights |
//! | [`session`] | a whole run, from an experiment file to its end |
//! | [`dry_run`] | one batch and an estimate, nothing written |
//! | [`detection`] | data, model and measure of detectors |
//! | [`tuning`] | weights to start from |
//! | [`evaluate`] | the COCO numbers of a weights file |
//! | [`predict`], [`features`], [`fuse`] | detections, feature maps and folded weights from a weights file |
//! | [`plots`] | the course of a run, precision over recall |
//! | [`trainer`] | the loop, which owns order only, and its hooks |
//! | [`checkpoint`] | complete, checked, atomic checkpoints; which of them stay |
//! | [`run`] | the run folder: records, metrics.jsonl, TensorBoard, progress |
//! | [`memory`] | how much is used |
//! | [`runtime`] | variables that libtorch's libraries should start with, threads |
//! | [`sweep`] | ablations: one base, axes, seeds; trials, tables, pictures |
//! | [`report`] | runs and sweeps as one self-contained page |
//! | [`environment`] | versions, libraries, devices |
//! | [`error`], [`mod@bad_input`] | what can go wrong; which of it is the user's to mend |

pub mod analyze;
pub mod bad_input;
pub mod checkpoint;
pub mod classification;
pub mod config;
pub mod detection;
pub mod dry_run;
pub mod ema;
pub mod environment;
pub mod error;
pub mod evaluate;
pub mod features;
pub mod fuse;
pub mod memory;
pub mod optim;
pub mod plots;
pub mod predict;
pub mod report;
pub mod run;
pub mod runtime;
pub mod schedule;
pub mod session;
pub mod sweep;
pub mod trainer;
pub mod tuning;

pub use bad_input::{bad_input, is_bad_input, BadInput, MarkBadInput};
pub use config::{ConfigError, Experiment, Loaded};
