//! `train` and `predict` as their users see them: run folders, what is passed over, exit codes, Ctrl-C, two processes in one folder.
#![cfg(unix)]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{repghost, Folder, Ran};

const QUICK: &str = "
data:
  source: shapes
  augment: {resize: {size: 64}}
  shapes: {train_images: 8, val_images: 2, picture: {size: [64, 64], max_objects: 3}}
model:
  backbone: {name: repghostnet, width: 0.25}
  fpn: {channels: 16}
  head: {name: retinanet, tower_depth: 1}
train:
  epochs: 1
  batch_size: 4
  optimizer: {name: adamw, lr: 1.0e-3}
";

fn trained() -> Folder {
    let folder = Folder::new(&[("quick.yaml", QUICK)]);
    let ran = folder.run(&["train", "quick.yaml", "--run-dir", "run"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    folder
}

fn picture(path: &Path) {
    let (image, _) = repghost_coco::shapes::generate(1, 0, &repghost_coco::shapes::ShapesConfig::default());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image.save(path).unwrap();
}

/// The largest batch that fits: here an eighth of the images, as so small ones would all fit at once. The number is kept.
#[test]
fn the_batch_size_may_be_left_to_the_memory() {
    let folder = Folder::new(&[("quick.yaml", QUICK)]);
    let keys = ["train.batch_size=auto", "data.shapes.train_images=64", "train.base_batch_size=4"];
    let ran = folder.run(&[&["train", "quick.yaml", "--run-dir", "run", "train.max_steps=2"][..], &keys].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("train.batch_size: auto is 8: an image takes"), "{}", ran.stderr);
    assert!(ran.stderr.contains("an epoch of 64 images then has 8 steps"), "{}", ran.stderr);
    let config = std::fs::read_to_string(folder.path().join("run/config.yaml")).unwrap();
    assert!(config.contains("batch_size: 8"), "{config}");
    let log = std::fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    let record: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert!((record["lr"].as_f64().unwrap() / 2e-3 - 1.0).abs() < 0.5, "the rate is that of 8 images: {record}");
    let again = ["train", "quick.yaml", "--run-dir", "run", "--resume", "train.max_steps=3"];
    let again = folder.run(&[&again[..], &keys].concat());
    assert!(again.code == 0 && again.stderr.contains("auto is 8, as the run began"), "{}", again.stderr);
    let wrong = folder.run(&["train", "quick.yaml", "train.batch_size=automatic"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
}

#[test]
fn a_run_folder_is_enough_to_predict_and_to_resume() {
    let folder = trained();
    for name in ["photos/a=b.png", "photos/c.tiff", "photos/deep/d.png", "photos/__MACOSX/._c.png"] {
        picture(&folder.path().join(name));
    }
    folder.write("photos/notes.txt", "mine");

    // The best weights of the run; a folder without its subfolders.
    let flat = folder.run(&["predict", "run", "photos", "--output", "flat"]);
    assert_eq!(flat.code, 0, "{}", flat.stderr);
    assert!(flat.stdout.contains(" in 2 images"), "{}", flat.stdout);
    assert!(flat.stderr.contains("passed over: 1 hidden, 1 that is no image, 1 subfolder"), "{}", flat.stderr);
    let deep = folder.run(&["predict", "run", "photos", "--recursive", "--output", "deep"]);
    assert!(deep.stdout.contains(" in 3 images"), "{}{}", deep.stdout, deep.stderr);
    // A picture whose name looks like an override, and a network from its weights file alone.
    let named = folder.run(&["predict", "--weights", "run/weights/best.safetensors", "photos/a=b.png", "--output", "named"]);
    assert_eq!(named.code, 0, "{}", named.stderr);
    assert!(named.stdout.contains(" in 1 images") && folder.path().join("named/a=b.png").is_file(), "{}", named.stdout);

    // A finished run does nothing more, and prints so.
    let again = folder.run(&["train", "run", "--resume"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stderr.contains("the run is finished: 1 epochs, 2 steps"), "{}", again.stderr);
    // More epochs continue it.
    let longer = folder.run(&["train", "run", "train.epochs=2", "--resume"]);
    assert!(longer.code == 0 && longer.stderr.contains("train.epochs 1 -> 2"), "{}", longer.stderr);
    assert!(folder.path().join("run/checkpoints/step_00000004.safetensors").is_file());
}

#[test]
fn what_the_user_can_correct_is_exit_code_2_in_every_command() {
    let folder = trained();
    let refused = |arguments: &[&str], part: &str| {
        let ran = folder.run(arguments);
        assert!(ran.code == 2 && ran.stderr.contains(part), "{arguments:?}: {} {}", ran.code, ran.stderr);
        assert_eq!(ran.stderr.lines().filter(|l| l.starts_with("error")).count(), 1, "{}", ran.stderr);
    };
    refused(&["predict", "run", "none.jpg", "--output", "out"], "none.jpg");
    refused(&["features", "run", "none.jpg", "--output", "maps.safetensors"], "none.jpg");
    refused(&["predict", "run", "--output", "out"], "no image is named");
    refused(
        &["predict", "run", "quick.yaml", "--output", "out", "--score-threshold", "2"],
        "--score-threshold: expected a number",
    );
    refused(&["train", "quick.yaml", "--run-dir", "run"], "--resume continues its run");
    refused(&["train", "run"], "--resume continues the run in it");
    refused(&["analyze", "quick.yaml", "--classes", "0"], "--classes: found 0, expected a number from 1");
    // A place that cannot be written to: a file where a folder is needed.
    folder.write("file", "");
    refused(&["train", "quick.yaml", "--run-dir", "file/run"], "file/run");
    refused(&["fuse", "run", "--output", "file/fused.safetensors"], "fused.safetensors");
}

/// Ends a child that a failed assertion would leave behind.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A training that goes on until it is stopped, once its first step is done.
fn long_run(folder: &Folder) -> Running {
    let mut command = repghost();
    command.current_dir(folder.path()).args([
        "train",
        "quick.yaml",
        "train.epochs=100000",
        "train.eval_every=0",
        "--run-dir",
        "run",
    ]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
    let running = Running(child);
    let started = Instant::now();
    let records = folder.path().join("run/metrics.jsonl");
    while std::fs::metadata(&records).map_or(0, |m| m.len()) == 0 {
        assert!(started.elapsed() < Duration::from_secs(120), "no step within two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    running
}

fn interrupt(child: &Child) {
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn one_process_trains_in_a_folder() {
    let folder = Folder::new(&[("quick.yaml", QUICK)]);
    let mut first = long_run(&folder);
    let second: Ran = folder.run(&["train", "quick.yaml", "train.epochs=100000", "--run-dir", "run", "--resume"]);
    assert_eq!(second.code, 2, "{}", second.stderr);
    assert!(second.stderr.contains("another process") && second.stderr.contains(&first.0.id().to_string()), "{}", second.stderr);
    // The lock ends with its process, however that ends.
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    let third = folder.run(&["train", "run", "train.epochs=1", "train.max_steps=1", "--resume"]);
    assert_eq!(third.code, 0, "{}", third.stderr);
}

/// The second Ctrl-C leaves without tearing anything down under the threads that are at work: exit code 130, never a signal.
#[test]
fn a_second_interrupt_ends_at_once_and_cleanly() {
    for pause in [0, 5, 20, 60] {
        let folder = Folder::new(&[("quick.yaml", QUICK)]);
        let mut running = long_run(&folder);
        interrupt(&running.0);
        std::thread::sleep(Duration::from_millis(pause));
        // It may have ended by then, in good order.
        if running.0.try_wait().unwrap().is_none() {
            interrupt(&running.0);
        }
        assert_eq!(running.0.wait().unwrap().code(), Some(130), "after {pause} ms");
    }
}
