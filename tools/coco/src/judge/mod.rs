//! Judging a detector beyond its average precision.
//!
//! | module | question |
//! |---|---|
//! | [`diagnosis`] | where is it wrong: error types, confusion, calibration, sizes, classes, images |
//! | [`mod@suspects`] | which labels do confident detections contradict |
//! | [`comparison`] | is B better than A, or is it chance |
//! | [`thresholds`] | from which score on should detections be shown |
//!
//! Matching is the evaluator's (hotcoco's, which is pycocotools' to the last bit). Types are plain data that serialize to JSON.

pub mod comparison;
pub mod diagnosis;
mod matched;
mod ranked;
mod resample;
mod student;
mod suspect_sheet;
pub mod suspects;
mod text;
pub mod thresholds;

pub use comparison::{compare, Change, CompareOptions, Comparison, Verdict};
pub use diagnosis::{diagnose, Diagnosis};
pub use suspect_sheet::suspect_sheet;
pub use suspects::{suspects, Suspect, Suspicion};
pub use thresholds::{choose, Goal, Thresholds};

/// Overlap from which a detection counts as a hit in everything but average precision over all thresholds.
pub const IOU: f64 = 0.5;
