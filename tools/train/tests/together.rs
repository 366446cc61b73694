//! Several real processes: this program starts itself once per rank.

mod common;

use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use common::{config, Quadrants};
use repghost_distributed::{DistributedError, Group, Launch, World};
use repghost_train::error::TrainError;
use repghost_train::run::RunFolder;
use repghost_train::together::Together;
use repghost_train::trainer::{Trainer, TrainerOptions};

/// A loss that is not finite in one process alone ends the others too, with that process's cause.
#[test]
fn a_loss_that_is_not_finite_in_one_process() {
    const TEST: &str = "a_loss_that_is_not_finite_in_one_process";
    let Some(world) = World::from_environment().unwrap() else {
        let command = |_| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args([TEST, "--exact", "--nocapture"]).env("OMP_NUM_THREADS", "1").stdout(Stdio::null());
            command
        };
        let ended = Launch::start(2, 0, command).unwrap().wait(&AtomicBool::new(false)).unwrap();
        assert!(ended.all.iter().all(|e| e.status.success() && !e.killed), "{ended:?}");
        return;
    };
    let group = Group::connect(&world, Duration::from_secs(30)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut task = Quadrants::new();
    if group.rank() == 1 {
        task.poison = Some((1, f64::NAN));
    }
    let config = config();
    let options = TrainerOptions {
        together: Some(Together::new(group.clone(), &config)),
        ..TrainerOptions::new(RunFolder::create(&dir.path().join("run")).unwrap())
    };
    let error = Trainer::new(task, &config, options).unwrap().train().unwrap_err();
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
