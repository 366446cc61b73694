//! Several real processes: this program starts itself once per rank.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use common::{config, Quadrants, BATCHES};
use repghost_coco::Segmentation;
use repghost_distributed::{DistributedError, Group, Launch, World};
use repghost_train::config::data_paths::Split;
use repghost_train::config::{Loaded, StopConfig, TrainConfig};
use repghost_train::detection::data;
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

/// One process per machine parses an annotation file: the second one's is no COCO file, and it has the first one's images and objects.
#[test]
fn annotations_are_parsed_once() {
    let Some(group) = one_of_two("annotations_are_parsed_once") else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("instances.json");
    let text = r#"{
        "images": [{"id": 5, "file_name": "a.png", "height": 30, "width": 40}, {"id": 6, "file_name": "b.png", "height": 30, "width": 40}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 6, "category_id": 3, "bbox": [1, 2, 9, 9.5], "area": 42.5, "iscrowd": 0,
                         "segmentation": [[1, 2, 10, 2, 10, 11.5]]}]
    }"#;
    std::fs::write(&file, if group.rank() == 0 { text } else { "{}" }).unwrap();
    std::fs::create_dir(dir.path().join("images")).unwrap();
    let experiment = format!(
        "data: {{keep_empty: true, train: {{annotations: {file}, images: {images}}}}}\nmodel: {{head: {{name: mask_rcnn}}}}\n",
        file = file.display(),
        images = dir.path().join("images").display()
    );
    let path = dir.path().join("experiment.yaml");
    std::fs::write(&path, experiment).unwrap();
    let e = Loaded::read(&path, &[]).unwrap().experiment;
    let open = |group| data::open_among(&e, Split::Train, None, group);
    let opened = open(Some(&group)).unwrap().dataset;
    assert_eq!(opened.images.iter().map(|i| i.id).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(opened.training_objects(0).count(), 0);
    let (object, bbox) = opened.training_objects(1).next().unwrap();
    assert_eq!((bbox, object.area, object.label), ([1.0, 2.0, 10.0, 11.5], 42.5, 0));
    assert_eq!(object.segmentation, Segmentation::Polygons(vec![vec![1.0, 2.0, 10.0, 2.0, 10.0, 11.5]]));
    assert_eq!(opened.report.images_in_file, if group.rank() == 0 { 2 } else { 0 });
    assert_eq!(open(None).is_err(), group.rank() == 1, "the second file cannot be parsed");
    // An error in the first process is each one's own.
    std::fs::write(&file, "[").unwrap();
    assert!(open(Some(&group)).err().unwrap().to_string().contains("instances.json"));
    group.barrier().unwrap();
}
