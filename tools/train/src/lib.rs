//! Training, evaluation and prediction: experiments to runs.
//!
//! | module | what is in it |
//! |---|---|
//! | [`config`] | experiment files: inheritance, overrides, typed keys, errors that name key and file |
//! | [`optim`] | SGD and AdamW with saved state, gradients as values, parameter groups |
//! | [`schedule`] | step to learning rate |
//! | [`ema`] | the moving average of the weights |
//! | [`environment`] | versions, libraries, devices |
//! | [`error`], [`bad_input`] | what can go wrong; which of it is the user's to mend |

pub mod bad_input;
pub mod config;
pub mod ema;
pub mod environment;
pub mod error;
pub mod optim;
pub mod schedule;

pub use bad_input::{bad_input, is_bad_input, BadInput, MarkBadInput};
pub use config::{ConfigError, Experiment, Loaded};
