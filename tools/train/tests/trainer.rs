//! The loop on a small task: resuming to the same bits, stopping, failing, accumulating.

mod common;

use std::path::Path;

use common::{alone, bits, config, trainer, Quadrants, BATCHES};
use repghost_train::checkpoint::folder;
use repghost_train::config::OptimizerName;
use repghost_train::error::TrainError;
use repghost_train::run::{metrics, Record};
use repghost_train::trainer::{Hook, Run, RunOutcome, StepEvent, Task};

fn final_weights(dir: &Path) -> Vec<u8> {
    std::fs::read(dir.join("weights/last.safetensors")).unwrap()
}

/// 12 steps at once against every split into two processes' worth of steps, in the middle of epochs and at their ends.
#[test]
fn a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() {
    let _alone = alone();
    // Records of every step, and of windows that the splits cut.
    for (name, log_every) in [(OptimizerName::Adamw, 1), (OptimizerName::Sgd, 3)] {
        let mut config = config();
        config.optimizer.name = name;
        config.log_every = log_every;
        let whole = tempfile::tempdir().unwrap();
        let mut uninterrupted = trainer(whole.path(), Quadrants::new(), &config);
        assert_eq!(uninterrupted.train().unwrap(), RunOutcome::Finished);
        let records = metrics::read(&whole.path().join("metrics.jsonl")).unwrap();
        if log_every == 1 {
            assert_eq!(records.iter().filter(|r| matches!(r, Record::Step(_))).count(), 3 * BATCHES);
        }
        assert_eq!(records.iter().filter(|r| matches!(r, Record::Eval(_))).count(), 3);
        for split in [3, 4, 7] {
            let dir = tempfile::tempdir().unwrap();
            let mut task = Quadrants::new();
            task.stop_after = Some(split);
            let mut stopped_run = trainer(dir.path(), task, &config);
            assert_eq!(stopped_run.train().unwrap(), RunOutcome::Interrupted);
            // The batch after the step is fetched ahead, so the step before the one that raised the flag is the last.
            let stopped = stopped_run.run.progress.step;
            assert!((split as u64 - 1..=split as u64).contains(&stopped), "asked at {split}, stopped after {stopped}");
            drop(stopped_run);
            let mut resumed = trainer(dir.path(), Quadrants::new(), &config);
            assert_eq!(resumed.run.progress.step, stopped);
            assert_eq!(resumed.train().unwrap(), RunOutcome::Finished);
            assert!(bits(&uninterrupted.run.task.net) == bits(&resumed.run.task.net), "{name:?}, split after {stopped}");
            assert!(final_weights(whole.path()) == final_weights(dir.path()), "the average too");
            let records_of_both = metrics::read(&dir.path().join("metrics.jsonl")).unwrap();
            let losses = |r: &[Record]| -> Vec<(u64, u64, Option<u64>)> {
                let mean = |r: &Record| match r {
                    Record::Step(s) => Some((s.step, s.loss.to_bits(), s.grad_norm.map(f64::to_bits))),
                    Record::Epoch(e) => Some((e.step, e.loss.to_bits(), None)),
                    Record::Eval(_) => None,
                };
                r.iter().filter_map(mean).collect()
            };
            assert_eq!(losses(&records), losses(&records_of_both), "{name:?}, split after {stopped}");
            let evaluated = |r: &[Record]| -> Vec<(u64, u64)> {
                r.iter()
                    .filter_map(|r| if let Record::Eval(e) = r { Some((e.step, e.headline.to_bits())) } else { None })
                    .collect()
            };
            assert_eq!(evaluated(&records), evaluated(&records_of_both), "no evaluation is lost or done twice");
        }
    }
}

#[test]
fn a_damaged_last_checkpoint_falls_back_and_ends_the_same() {
    let _alone = alone();
    let whole = tempfile::tempdir().unwrap();
    let mut config = config();
    config.checkpoint.every_steps = Some(1);
    let mut uninterrupted = trainer(whole.path(), Quadrants::new(), &config);
    uninterrupted.train().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut task = Quadrants::new();
    task.stop_after = Some(7);
    let mut stopped_run = trainer(dir.path(), task, &config);
    stopped_run.train().unwrap();
    let step = stopped_run.run.progress.step;
    let last = folder::path(&dir.path().join("checkpoints"), step);
    let mut bytes = std::fs::read(&last).unwrap();
    let middle = bytes.len() * 3 / 4;
    bytes[middle] ^= 0x10;
    std::fs::write(&last, bytes).unwrap();
    let mut resumed = trainer(dir.path(), Quadrants::new(), &config);
    assert_eq!(resumed.run.progress.step, step - 1);
    resumed.train().unwrap();
    assert!(bits(&uninterrupted.run.task.net) == bits(&resumed.run.task.net));
}

#[test]
fn a_loss_that_is_not_finite_stops_with_table_step_and_images() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut task = Quadrants::new();
    task.poison = Some((1, f64::NAN));
    let mut t = trainer(dir.path(), task, &config());
    let err = t.train().unwrap_err();
    assert!(matches!(err, TrainError::NotFinite(_)));
    let text = err.to_string();
    for part in ["step 5 (epoch 2)", "classification NaN", "decay 0.", "1-0-0, 1-0-1"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let weights = bits(&t.run.task.net);
    assert!(weights.iter().all(|(_, v)| v.iter().all(|b| f64::from_bits(*b).is_finite())), "the weights are not poisoned");
    let records = metrics::read(&dir.path().join("metrics.jsonl")).unwrap();
    assert_eq!(records.last().unwrap().step(), 4, "what was known is on record");
}

#[test]
fn accumulation_takes_fewer_steps_and_means() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.accumulate = 3;
    let mut t = trainer(dir.path(), Quadrants::new(), &config);
    t.train().unwrap();
    assert_eq!(t.run.progress.step, 6, "4 batches are a step of 3 and a step of 1");
    assert_eq!(t.run.progress.epoch, 3);
}

#[test]
fn a_small_network_learns_the_quadrants() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.epochs = 25;
    let mut t = trainer(dir.path(), Quadrants::new(), &config);
    t.train().unwrap();
    let best = t.run.progress.best.unwrap();
    assert!(best.value > 0.8, "{best:?}");
    assert!(dir.path().join("weights/best.safetensors").is_file());
}

#[test]
fn max_steps_stops_early_and_evaluates() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.max_steps = Some(2);
    let mut t = trainer(dir.path(), Quadrants::new(), &config);
    assert_eq!(t.train().unwrap(), RunOutcome::Finished);
    let records = metrics::read(&dir.path().join("metrics.jsonl")).unwrap();
    assert!(matches!(records.last(), Some(Record::Eval(e)) if e.step == 2));
}

/// Where no layer looks at a whole batch, copies that share it must find what one network finds: the mean over images, however
/// unevenly 6 images fall on 4 copies (2, 2, 1, 1 or less).
#[test]
fn copies_of_the_network_learn_what_one_learns() {
    let _alone = alone();
    let trained = |replicas: usize| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config();
        config.optimizer.name = OptimizerName::Sgd;
        config.replicas = replicas;
        let mut task = Quadrants::new();
        task.plain = true;
        let mut trainer = trainer(dir.path(), task, &config);
        assert_eq!(trainer.train().unwrap(), RunOutcome::Finished);
        let weights = bits(&trainer.run.task.net);
        weights.into_iter().flat_map(|(_, v)| v.into_iter().map(f64::from_bits)).collect::<Vec<f64>>()
    };
    let one = trained(1);
    let moved = one.iter().zip(trained_start()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(moved > 0.01, "the run changes weights by {moved} only");
    for replicas in [2, 4] {
        let many = trained(replicas);
        let apart = one.iter().zip(&many).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-6, "{replicas} copies end {apart} away");
    }
}

/// Batches that are accumulated into one step draw one after another: a copy that started anew with each would drop the same of all.
#[test]
fn copies_are_seeded_once_a_step() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    (config.replicas, config.accumulate) = (2, 2);
    let mut trainer = trainer(dir.path(), Quadrants::new(), &config);
    assert_eq!(trainer.train().unwrap(), RunOutcome::Finished);
    assert_eq!(trainer.run.progress.step, 6, "3 epochs of 4 batches, 2 a step");
    assert_eq!(trainer.run.task.seeds.load(std::sync::atomic::Ordering::Relaxed), 6 * 2);
}

fn trained_start() -> Vec<f64> {
    let weights = bits(&Quadrants::new().net);
    weights.into_iter().flat_map(|(_, v)| v.into_iter().map(f64::from_bits)).collect()
}

/// 4 batches of 6 images per epoch; stopped after 6 steps, in the middle of epoch 2. Where 2 batches are accumulated from then on, half an epoch
/// (1 step of 2) and one whole epoch (2 steps) are left of the 3.
#[test]
fn another_accumulation_keeps_the_length_in_epochs() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    let mut task = Quadrants::new();
    task.stop_after = Some(6);
    let mut stopped = trainer(dir.path(), task, &config);
    assert_eq!(stopped.train().unwrap(), RunOutcome::Interrupted);
    let (step, batch) = (stopped.run.progress.step, stopped.run.progress.batch);
    assert_eq!(stopped.run.progress.epoch, 1);
    drop(stopped);
    config.accumulate = 2;
    let mut resumed = trainer(dir.path(), Quadrants::new(), &config);
    let note = resumed.run.messages.join("\n");
    assert!(note.contains("train.accumulate 1 -> 2"), "{note}");
    assert_eq!(resumed.train().unwrap(), RunOutcome::Finished);
    assert_eq!(resumed.run.progress.epoch, 3);
    // Positions are whole steps: batch 1 of 4 counts as half a step of 2, which rounds to one.
    let done = (batch as f64 / 2.0).round() as u64;
    assert_eq!(resumed.run.progress.step, step + (2 - done) + 2);
    // A run that is resumed at its end does nothing more and prints that it is finished.
    drop(resumed);
    let finished = trainer(dir.path(), Quadrants::new(), &config);
    assert!(finished.run.messages.iter().any(|m| m.starts_with("the run is finished: 3 epochs")), "{:?}", finished.run.messages);
}

/// Counts the steps that it is called with, and adds a message.
struct Counter(std::rc::Rc<std::cell::Cell<u64>>);

impl<T: Task> Hook<T> for Counter {
    fn after_step(&mut self, run: &mut Run<T>, event: StepEvent) -> Result<(), TrainError> {
        self.0.set(self.0.get() + 1);
        assert!(run.progress.step > 0 && (!event.last || event.epoch_ended));
        Ok(())
    }
}

#[test]
fn a_hook_of_the_user_is_called_around_every_step() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let steps = std::rc::Rc::default();
    let mut trainer = trainer(dir.path(), Quadrants::new(), &config()).with_hook(Box::new(Counter(std::rc::Rc::clone(&steps))));
    assert_eq!(trainer.train().unwrap(), RunOutcome::Finished);
    assert_eq!(steps.get(), 3 * BATCHES as u64);
}
