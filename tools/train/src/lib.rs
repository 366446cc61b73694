//! Training, evaluation and prediction: experiments to runs.
//!
//! | module | what is in it |
//! |---|---|
//! | [`optim`] | SGD and AdamW with saved state, gradients as values, parameter groups |
//! | [`schedule`] | step to learning rate |
//! | [`ema`] | the moving average of the weights |
//! | [`error`] | what can go wrong |

pub mod ema;
pub mod error;
pub mod optim;
pub mod schedule;
