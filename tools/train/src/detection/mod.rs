//! Detection: an experiment's data, model and measure, joined to a task for the trainer.
//!
//! | file | what is in it |
//! |---|---|
//! | [`data`] | splits: loaders, ground truth, class names |
//! | [`model`] | the detector of an experiment, initial weights, freezing, weight files with metadata |
//! | [`files`] | a look at a split's image files before the first step |
//! | [`engine`] | a detector in libtorch as an [`Engine`](crate::engine::Engine) |
//! | [`infer`] | detections in original pixels |
//! | [`pictures`] | ground truth beside prediction |
//! | [`task`] | all of it as the trainer's [`Task`](crate::trainer::Task) |

pub mod data;
pub mod engine;
pub mod files;
pub mod infer;
pub mod model;
pub mod pictures;
mod shared_data;
pub mod task;

pub use task::DetectionTask;
