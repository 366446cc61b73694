//! Measures the network, and keeps the weights that measured best.

use std::time::Instant;

use super::Hook;
use crate::checkpoint::Best;
use crate::error::TrainError;
use crate::run::{EvalRecord, Record};
use crate::trainer::{EvalContext, Evaluation, Run, StepEvent, Task};

/// Evaluates every few epochs and at the end: the moving average where one is kept, else the weights.
#[derive(Debug)]
pub struct Evaluate {
    every_epochs: usize,
    /// The run goes on from a checkpoint whose evaluation was due and is not on record: a crash or Ctrl-C came between.
    pending: bool,
}

impl Evaluate {
    /// Every `every_epochs` epochs (0: only at the end). `known`: the evaluation of the step that the run starts from is on record.
    pub fn new(every_epochs: usize, known: bool) -> Self {
        Self { every_epochs, pending: !known }
    }

    fn due(&self, epoch: usize) -> bool {
        self.every_epochs > 0 && epoch > 0 && epoch.is_multiple_of(self.every_epochs)
    }

    fn evaluate<T: Task>(&self, run: &mut Run<T>) -> Result<(), TrainError> {
        let started = Instant::now();
        let (evaluation, best) = run.with_average(measure_and_keep)??;
        let seconds = started.elapsed().as_secs_f64();
        run.progress.seconds += seconds;
        if let Evaluation::Done { metrics, headline } = evaluation {
            let (step, epoch) = (run.progress.step, run.progress.epoch);
            let ema = run.ema.is_some();
            run.pending_records.push(Record::Eval(EvalRecord { step, epoch, ema, metrics, headline, best, seconds }));
        }
        Ok(())
    }
}

impl<T: Task> Hook<T> for Evaluate {
    fn start(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        let p = &run.progress;
        if std::mem::take(&mut self.pending) && p.step > 0 && ((p.batch == 0 && self.due(p.epoch)) || run.finished()) {
            self.evaluate(run)?;
        }
        Ok(())
    }

    fn after_step(&mut self, run: &mut Run<T>, event: StepEvent) -> Result<(), TrainError> {
        let due = event.last || (event.epoch_ended && self.due(run.progress.epoch));
        if due && !run.interrupted() {
            self.evaluate(run)?;
        }
        Ok(())
    }
}

/// Measures the network as it is, and writes its weights where it measures better than before. Returns whether it did.
fn measure_and_keep<T: Task>(run: &mut Run<T>) -> Result<(Evaluation, bool), TrainError> {
    let evaluation = measure(run)?;
    let value = match evaluation {
        Evaluation::Done { headline, .. } if is_better(headline, run.progress.best) => headline,
        Evaluation::Done { headline, .. } if headline.is_nan() && run.progress.best.is_none() => {
            // Nothing can be compared: the best weights are the last ones.
            run.write_weights("best")?;
            return Ok((evaluation, false));
        }
        _ => return Ok((evaluation, false)),
    };
    run.progress.best = Some(Best { step: run.progress.step, value });
    run.write_weights("best")?;
    Ok((evaluation, true))
}

/// Whether an evaluation is the best so far. One that measured nothing never is.
fn is_better(headline: f64, best: Option<Best>) -> bool {
    !headline.is_nan() && best.is_none_or(|b| headline > b.value)
}

fn measure<T: Task>(run: &mut Run<T>) -> Result<Evaluation, TrainError> {
    let display = run.display.clone();
    let mut progress = |done, total| display.borrow().evaluating(done, total);
    let mut context = EvalContext { folder: &run.folder, step: run.progress.step, stop: &run.stop, progress: &mut progress };
    run.task.evaluate(&mut context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_measures_nothing_is_never_the_best() {
        assert!(!is_better(f64::NAN, None));
        assert!(is_better(0.0, None));
        let best = Some(Best { step: 1, value: 0.5 });
        assert!(is_better(0.6, best) && !is_better(0.5, best));
    }
}
