//! Records to everyone who reads them.

use super::curves;
use super::metrics::{self, MetricsLog};
use super::progress::Progress;
use super::tensorboard::TensorBoard;
use super::{Record, RunFolder, Sink};
use crate::error::TrainError;

/// Where records go: `metrics.jsonl` (first: it is the source of truth), TensorBoard, the display and, after an evaluation, the plot of
/// the run's curves.
pub struct Writers {
    folder: RunFolder,
    log: MetricsLog,
    board: TensorBoard,
}

impl Writers {
    /// Writers of a run folder; `before` are the records that are there already.
    ///
    /// # Errors
    /// The disk's.
    pub fn new(folder: &RunFolder, before: &[Record]) -> Result<Self, TrainError> {
        let log = MetricsLog::append(&folder.metrics_log())?;
        Ok(Self { folder: folder.clone(), log, board: TensorBoard::start(&folder.events(), before)? })
    }

    /// Writes a record.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&mut self, record: &Record, display: &mut Progress) -> Result<(), TrainError> {
        self.log.write(record)?;
        self.board.write(record)?;
        display.write(record)?;
        if let Record::Eval(_) = record {
            self.board.sheet(&self.folder.predictions(), record.step());
            curves::draw(&metrics::read(&self.folder.metrics_log())?, &self.folder.curves())?;
        }
        Ok(())
    }
}
