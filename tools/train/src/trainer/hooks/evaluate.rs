//! Measures the network, and keeps the weights that measured best.

use std::time::Instant;

use super::Hook;
use crate::checkpoint::Best;
use crate::error::TrainError;
use crate::run::{EvalRecord, Record};
use crate::trainer::{EvalContext, Evaluation, Observed, Run, Selection, StepEvent, Task};

/// Evaluates every few epochs and at the end: the moving average where one is kept, else the weights.
#[derive(Debug)]
pub struct Evaluate {
    every_epochs: usize,
    /// The run goes on from a checkpoint whose evaluation was due and is not on record: a crash or Ctrl-C came between.
    pending: bool,
    selection: Selection,
}

impl Evaluate {
    /// Every `every_epochs` epochs (0: only at the end). `known`: the evaluation of the step that the run starts from is on record.
    /// `selection` has seen the evaluations on record.
    pub fn new(every_epochs: usize, known: bool, selection: Selection) -> Self {
        Self { every_epochs, pending: !known, selection }
    }

    fn due(&self, epoch: usize) -> bool {
        self.every_epochs > 0 && epoch > 0 && epoch.is_multiple_of(self.every_epochs)
    }

    fn evaluate<T: Task>(&mut self, run: &mut Run<T>) -> Result<(), TrainError> {
        let started = Instant::now();
        let measured = run.with_average(|run| measure_and_keep(run, &mut self.selection))??;
        let seconds = started.elapsed().as_secs_f64();
        run.progress.seconds += seconds;
        let Some((metrics, Observed { headline, best, stop })) = measured else { return Ok(()) };
        let (step, epoch) = (run.progress.step, run.progress.epoch);
        let stop = stop.filter(|_| !run.finished());
        if let Some(reason) = &stop {
            run.plan.stop_at = step;
            run.messages.push(reason.clone());
        }
        let (ema, best) = (run.ema.is_some(), best.is_some());
        run.pending_records.push(Record::Eval(EvalRecord { step, epoch, ema, metrics, headline, best, seconds, stop }));
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

/// Metrics by name, and what the selection makes of them.
type Measured = (Vec<(String, f64)>, Observed);

/// Measures the network as it is, and writes its weights where it measures better than before. `None` where it was interrupted.
fn measure_and_keep<T: Task>(run: &mut Run<T>, selection: &mut Selection) -> Result<Option<Measured>, TrainError> {
    let Evaluation::Done { metrics, headline } = measure(run)? else { return Ok(None) };
    let observed = selection.observe(run.progress.epoch, headline, &metrics)?;
    if let Some(value) = observed.best {
        run.progress.best = Some(Best { step: run.progress.step, value });
        run.write_weights("best")?;
    } else if observed.headline.is_nan() && run.progress.best.is_none() {
        // Nothing can be compared: the best weights are the last ones.
        run.write_weights("best")?;
    }
    Ok(Some((metrics, observed)))
}

fn measure<T: Task>(run: &mut Run<T>) -> Result<Evaluation, TrainError> {
    let display = run.display.clone();
    let mut progress = |done, total| display.borrow().evaluating(done, total);
    let mut context = EvalContext { folder: &run.folder, step: run.progress.step, stop: &run.stop, progress: &mut progress };
    run.task.evaluate(&mut context)
}
