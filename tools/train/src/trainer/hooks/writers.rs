//! Hands records to everyone who reads them.

use super::{Hook, Moment, Run, Task};
use crate::error::TrainError;
use crate::plots::curves;
use crate::run::metrics::{self, MetricsLog};
use crate::run::tensorboard::TensorBoard;
use crate::run::{Record, Sink};

/// Empties the outbox into `metrics.jsonl` (first: it is the source of truth), TensorBoard and the display.
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

    fn flush<T: Task>(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        let mut display = run.display.borrow_mut();
        for record in run.outbox.drain(..) {
            self.log.take(&record)?;
            self.board.take(&record)?;
            display.take(&record)?;
            if let Record::Eval(_) = record {
                self.board.sheet(&run.folder.predictions(), record.step());
                curves(&metrics::read(&run.folder.metrics_log())?, &run.folder.curves())?;
            }
        }
        for note in run.notes.drain(..) {
            display.say(&note);
        }
        Ok(())
    }
}

impl<T: Task> Hook<T> for Writers {
    fn start(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        self.flush(run)
    }

    fn after_step(&mut self, run: &mut Run<T>, _: Moment) -> Result<(), TrainError> {
        run.display.borrow_mut().step(&run.latest);
        self.flush(run)
    }

    fn finish(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        self.flush(run)
    }
}
