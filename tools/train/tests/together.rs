//! Several real processes: this program starts itself once per rank.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use common::{config, Quadrants, BATCHES};
use repghost_distributed::{DistributedError, Group, Launch, World};
use repghost_train::config::{StopConfig, TrainConfig};
use repghost_train::error::TrainError;
use repghost_train::run::RunFolder;
use repghost_train::together::Together;
use repghost_train::trainer::{RunOutcome, Trainer, TrainerOptions};

/// The group of this process, where it is one of two that `test` started; starts them and returns `None` where it is the test itself.
fn one_of_two(test: &str) -> Option<Group> {
    let Some(world) = World::from_environment().unwrap() else {
        let command = |_| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args([test, "--exact", "--nocapture"]).env("OMP_NUM_THREADS", "1").stdout(Stdio::null());
            command
        };
        let ended = Launch::start(2, 0, command).unwrap().wait(&AtomicBool::new(false)).unwrap();
        assert!(ended.all.iter().all(|e| e.status.success() && !e.killed), "{ended:?}");
        return None;
    };
    Some(Group::connect(&world, Duration::from_secs(30)).unwrap())
}

fn trainer(group: &Group, dir: &Path, task: Quadrants, config: &TrainConfig) -> Trainer<Quadrants> {
    let options = TrainerOptions {
        together: Some(Together::new(group.clone(), config)),
        ..TrainerOptions::new(RunFolder::create(&dir.join("run")).unwrap())
    };
    Trainer::new(task, config, options).unwrap()
}

/// A loss that is not finite in one process alone ends the others too, with that process's cause.
#[test]
fn a_loss_that_is_not_finite_in_one_process() {
    let Some(group) = one_of_two("a_loss_that_is_not_finite_in_one_process") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut task = Quadrants::new();
    if group.rank() == 1 {
        task.poison = Some((1, f64::NAN));
    }
    let error = trainer(&group, dir.path(), task, &config()).train().unwrap_err();
    match (group.rank(), error) {
        (1, TrainError::NotFinite(problem)) => {
            group.fail(&TrainError::NotFinite(problem).to_string());
        }
        (0, TrainError::Distributed(DistributedError::Peer { rank: 1, cause })) => {
            assert!(cause.contains("not finite"), "{cause}");
        }
        (rank, other) => panic!("rank {rank}: {other}"),
    }
}

/// All processes stop for lack of improvement at the same evaluation.
#[test]
fn a_run_without_improvement_ends_in_all_processes() {
    let Some(group) = one_of_two("a_run_without_improvement_ends_in_all_processes") else { return };
    let dir = tempfile::tempdir().unwrap();
    // The best at epoch 2, the end at epoch 4 of 8.
    let task = Quadrants { script: vec![0.1, 0.5, 0.4, 0.5, 0.9, 0.9, 0.9, 0.95], ..Quadrants::new() };
    let config = TrainConfig { epochs: 8, stop: Some(StopConfig { patience: 2, ..StopConfig::default() }), ..config() };
    let mut trainer = trainer(&group, dir.path(), task, &config);
    assert_eq!(trainer.train().unwrap(), RunOutcome::Finished);
    assert_eq!(trainer.run.progress.step as usize, 4 * BATCHES);
    assert_eq!(trainer.run.progress.best.map(|best| (best.step as usize, best.value)), Some((2 * BATCHES, 0.5)));
}
