//! Parity check: runs each exported file and compares its outputs with the model's.
//!
//! | module | what is in it |
//! |---|---|
//! | [`inputs`] | random and real batches |
//! | [`check`] | which outputs are compared with what, for each part |
//! | [`report`] | differences of outputs |
//! | [`detections`] | whether two lists of detections are the same |
//! | [`thresholds`] | a detector file with score thresholds against the one without |
//! | [`table`] | the check over many networks |

pub mod check;
pub mod detections;
pub mod inputs;
pub mod report;
pub mod table;
pub mod thresholds;

pub use check::ParityCheck;
pub use report::{check_differences, compare, Comparison, Difference, ParityReport};
