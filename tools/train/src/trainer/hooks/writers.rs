//! Hands records to everyone who reads them.

use super::{Hook, Moment, Run, Task};
use crate::error::TrainError;
use crate::plots::curves;
use crate::run::metrics::{self, MetricsLog};
use crate::run::tensorboard::TensorBoard;
use crate::run::{Record, Sink};

/// Where records go: `metrics.jsonl` (first: it is the source of truth), TensorBoard and the display.
pub struct Writers {
    log: MetricsLog,
    board: TensorBoard,
}

impl Writers {
    /// Writers of a run folder; `before` are the records that are there already.
    ///
    /// # Errors
    /// The disk's.
    pub fn new(folder: &crate::run::RunFolder, before: &[Record]) -> Result<Self, TrainError> {
        let log = MetricsLog::append(&folder.metrics_log())?;
        Ok(Self { log, board: TensorBoard::start(&folder.events(), before)? })
    }
}

impl<T: Task> Run<T> {
    /// Empties the outbox and the notes.
    pub(super) fn write_records(&mut self) -> Result<(), TrainError> {
        let Some(writers) = &mut self.writers else { return Ok(()) };
        let mut display = self.display.borrow_mut();
        for record in self.outbox.drain(..) {
            writers.log.take(&record)?;
            writers.board.take(&record)?;
            display.take(&record)?;
            if let Record::Eval(_) = record {
                writers.board.sheet(&self.folder.predictions(), record.step());
                curves(&metrics::read(&self.folder.metrics_log())?, &self.folder.curves())?;
            }
        }
        for note in self.notes.drain(..) {
            display.say(&note);
        }
        Ok(())
    }
}

/// Has the records of a step written at its end. (A checkpoint has those that belong to it written before, see `Checkpoints`.)
#[derive(Debug)]
pub struct Write;

impl<T: Task> Hook<T> for Write {
    fn start(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        run.write_records()
    }

    fn after_step(&mut self, run: &mut Run<T>, _: Moment) -> Result<(), TrainError> {
        run.display.borrow_mut().step(&run.latest);
        run.write_records()
    }

    fn finish(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        run.write_records()
    }
}
