//! A hook around every training step: ends a run in good order when its time is up, as jobs on a cluster need it.
//! `cargo run --release -p repghost-examples --example custom_hook [RUN_FOLDER] [SECONDS]`

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use repghost_examples::{output, quick_experiment};
use repghost_train::detection::DetectionTask;
use repghost_train::train::{train_task, TrainOptions};
use repghost_train::trainer::{Hook, Run, RunOutcome, StepEvent, Task};
use repghost_train::TrainError;

/// Stops the run after a time.
struct TimeLimit {
    end: Instant,
}

impl<T: Task> Hook<T> for TimeLimit {
    fn after_step(&mut self, run: &mut Run<T>, event: StepEvent) -> Result<(), TrainError> {
        if Instant::now() >= self.end && !event.last {
            run.messages.push(format!("time is up after step {}, loss {:.3}", run.progress.step, run.report.loss));
            run.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(2).map_or(Ok(60), |text| text.parse())?;
    let experiment = quick_experiment(&["train.epochs=2"])?;
    let options = TrainOptions { run_dir: Some(output("custom_hook")), ..TrainOptions::default() };
    let hook = TimeLimit { end: Instant::now() + Duration::from_secs(seconds) };
    let task = DetectionTask::new(&experiment)?;
    let outcome = train_task(task, &experiment, &options, vec![Box::new(hook)], |line| println!("{line}"))?;
    match outcome.end {
        RunOutcome::Interrupted => {
            println!("stopped; a checkpoint to resume from is in {}", outcome.folder.checkpoints().display())
        }
        RunOutcome::Finished => println!("finished in time"),
    }
    Ok(())
}
