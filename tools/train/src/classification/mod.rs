//! Image classification: one class an image, as backbones are pretrained on ImageNet.
//!
//! | file | what is in it |
//! |---|---|
//! | [`data`] | image folders: splits, classes, loaders |
//! | [`model`] | the classifier of an experiment, initial weights, weight files with metadata |
//! | [`infer`] | a classifier over a loader: probabilities |
//! | [`accuracy`] | top-1 and top-5, in all and by class |
//! | [`evaluate`], [`predict`](mod@predict) | what the commands do with a weights file |
//! | [`pictures`] | images with their predicted and true classes |
//! | [`task`] | all of it as the trainer's [`Task`](crate::trainer::Task) |

pub mod accuracy;
pub mod data;
pub mod evaluate;
pub mod infer;
pub mod model;
pub mod pictures;
pub mod predict;
pub mod task;

pub use accuracy::Accuracy;
pub use task::ClassificationTask;
