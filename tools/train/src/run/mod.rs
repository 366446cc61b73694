//! A run's folder: its source of truth. Everything else (TensorBoard, progress bars, pictures, reports) is made from it.

pub mod folder;
pub mod metrics;
pub mod progress;
pub mod record;
pub mod tensorboard;

pub use folder::RunFolder;
pub use record::{EpochRecord, EvalRecord, Record, StepRecord};

use crate::error::TrainError;

/// A consumer of records.
pub trait Sink {
    /// Takes one record.
    ///
    /// # Errors
    /// The disk's.
    fn take(&mut self, record: &Record) -> Result<(), TrainError>;
}
