//! A run's folder: its source of truth. Everything else (TensorBoard, progress bars, pictures, reports) is made from it.

pub mod curves;
pub mod folder;
pub mod lock;
pub mod metrics;
pub mod progress;
pub mod record;
pub mod tensorboard;
pub mod weights;
pub mod writers;

pub use folder::RunFolder;
pub use lock::RunLock;
pub use record::{EpochRecord, EvalRecord, Record, StepRecord};
pub use writers::Writers;

use crate::error::TrainError;

/// A consumer of records.
pub trait Sink {
    /// Writes or shows one record.
    ///
    /// # Errors
    /// The disk's.
    fn write(&mut self, record: &Record) -> Result<(), TrainError>;
}
