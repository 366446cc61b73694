//! Runs that end early: for lack of improvement, and for lack of time.

mod common;

use std::path::Path;

use common::{alone, bits, config, trainer, Quadrants, BATCHES};
use repghost_train::config::{ScheduleName, StopConfig, TrainConfig};
use repghost_train::run::{metrics, EvalRecord, Record};
use repghost_train::trainer::RunOutcome;

/// The best at epoch 2, the end at epoch 4.
const SCRIPT: [f64; 8] = [0.1, 0.5, 0.4, 0.5, 0.9, 0.9, 0.9, 0.95];

fn stopping(epochs: usize, patience: usize) -> TrainConfig {
    TrainConfig { epochs, stop: Some(StopConfig { patience, ..StopConfig::default() }), ..config() }
}

fn task() -> Quadrants {
    Quadrants { script: SCRIPT.to_vec(), ..Quadrants::new() }
}

fn evaluations(dir: &Path) -> Vec<EvalRecord> {
    let records = metrics::read(&dir.join("metrics.jsonl")).unwrap();
    records.into_iter().filter_map(|r| if let Record::Eval(e) = r { Some(e) } else { None }).collect()
}

#[test]
fn a_run_without_improvement_ends_and_its_record_holds_why() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut t = trainer(dir.path(), task(), &stopping(8, 2));
    assert_eq!(t.train().unwrap(), RunOutcome::Finished);
    assert_eq!(t.run.progress.step as usize, 4 * BATCHES);
    assert_eq!(t.run.progress.best.map(|b| (b.step as usize, b.value)), Some((2 * BATCHES, 0.5)));
    let all = evaluations(dir.path());
    assert_eq!(all.len(), 4);
    let reason = all[3].stop.as_deref().unwrap();
    assert_eq!(reason, "stopped at epoch 4, best 0.5000 at epoch 2: 2 evaluations without improvement (train.stop)");
    assert!(all[..3].iter().all(|e| e.stop.is_none()));
    assert!(dir.path().join("weights/last.safetensors").is_file());
}

/// Stopped by the user anywhere before, at and after the deciding evaluations, a run ends at the same step with the same bits.
#[test]
fn a_resumed_run_ends_where_an_uninterrupted_one_does() {
    let _alone = alone();
    let whole = tempfile::tempdir().unwrap();
    let mut uninterrupted = trainer(whole.path(), task(), &stopping(8, 2));
    uninterrupted.train().unwrap();
    for split in [6, 9, 12, 13, 15] {
        let dir = tempfile::tempdir().unwrap();
        let mut stopped = trainer(dir.path(), Quadrants { stop_after: Some(split), ..task() }, &stopping(8, 2));
        assert_eq!(stopped.train().unwrap(), RunOutcome::Interrupted);
        drop(stopped);
        let mut resumed = trainer(dir.path(), task(), &stopping(8, 2));
        assert_eq!(resumed.train().unwrap(), RunOutcome::Finished, "split {split}");
        assert_eq!(resumed.run.progress.step, uninterrupted.run.progress.step, "split {split}");
        assert!(bits(&resumed.run.task.net) == bits(&uninterrupted.run.task.net), "split {split}");
        assert_eq!(resumed.run.progress.best, uninterrupted.run.progress.best);
    }
}

#[test]
fn an_ended_run_stays_ended_until_it_may_wait_longer() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = stopping(8, 2);
    // No checkpoint but the last.
    config.checkpoint.every_epochs = 0;
    trainer(dir.path(), task(), &config).train().unwrap();
    let mut again = trainer(dir.path(), task(), &config);
    assert_eq!(again.run.progress.step as usize, 4 * BATCHES, "the step of the end was saved");
    assert!(again.run.finished());
    assert!(again.run.messages.iter().any(|m| m.contains("a larger train.stop.patience")), "{:?}", again.run.messages);
    again.train().unwrap();
    assert_eq!(evaluations(dir.path()).len(), 4, "nothing is done again");
    let mut patient = trainer(dir.path(), task(), &TrainConfig { stop: Some(StopConfig::default()), ..config });
    patient.train().unwrap();
    assert_eq!((patient.run.progress.step as usize, evaluations(dir.path()).len()), (8 * BATCHES, 8));
    assert_eq!(patient.run.progress.best.map(|b| b.value), Some(0.95));
}

#[test]
fn a_metric_that_is_not_measured_is_named() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = stopping(2, 2);
    config.best.metric = Some("bbox/AP".into());
    let refused = trainer(dir.path(), task(), &config).train().unwrap_err().to_string();
    assert_eq!(refused, "train.best.metric: bbox/AP is not measured; there are accuracy");
}

/// What time allows is not asserted here, only that the plan follows: the rate reaches its end, the last step is evaluated and saved,
/// and a resumed run keeps the plan.
#[test]
fn a_run_short_of_time_reaches_the_end_of_its_schedule() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = TrainConfig { epochs: 10_000, max_minutes: Some(1.5 / 60.0), eval_every: 0, ..config() };
    config.schedule.name = ScheduleName::Cosine;
    let slow = || Quadrants { slow: 0.01, ..Quadrants::new() };
    let mut t = trainer(dir.path(), slow(), &config);
    t.train().unwrap();
    let steps = t.run.progress.step;
    assert!(steps > 5 && steps < 10_000, "{steps}");
    assert_eq!(t.run.plan.stop_at, steps);
    let records = metrics::read(&dir.path().join("metrics.jsonl")).unwrap();
    let last = records.iter().rev().find_map(|r| if let Record::Step(s) = r { Some(s.lr) } else { None }).unwrap();
    assert!(last < 1e-3 * config.optimizer.lr, "the last rate is {last}");
    assert_eq!(evaluations(dir.path()).last().map(|e| e.step), Some(steps));
    drop(t);
    let again = trainer(dir.path(), slow(), &config);
    assert!(again.run.finished() && again.run.plan.stop_at == steps);
    let note = "the run is finished: its time was up; a larger train.max_minutes continues it";
    assert!(again.run.messages.iter().any(|m| m == note), "{:?}", again.run.messages);
    drop(again);
    let longer = trainer(dir.path(), slow(), &TrainConfig { max_minutes: None, ..config });
    assert!(!longer.run.finished(), "without a limit it goes on");
}
