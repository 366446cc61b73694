//! `repghost-det sweep` as a binary: trials are processes of the same binary, on tiny built-in pictures.

mod common;

use common::{root, run, Folder};

/// As small as a detector can be that trains.
const BASE: &str = "
data:
  source: shapes
  shapes: {train_images: 8, val_images: 4, picture: {size: [64, 64]}}
  augment: {resize: {size: 64}}
  workers: 0
model:
  backbone: {width: 0.5}
  fpn: {channels: 16}
  head: {name: retinanet, tower_depth: 1}
train:
  epochs: 2
  batch_size: 4
  log_every: 1
  optimizer: {name: adamw, lr: 1e-3}
";

const SWEEP: &str = "
title: Tiny
setting: tiny
settings: {tiny: {base: base.yaml, metric: bbox/AP50}}
axes:
  branches:
    BN: {model.backbone.branches: [bn]}
    lost: {init.detector: nowhere.safetensors}
    none: {model.backbone.branches: []}
";

fn folder() -> Folder {
    Folder::new(&[("base.yaml", BASE), ("sweep.yaml", SWEEP)])
}

#[test]
fn a_dry_run_lists_trials_with_their_cost() {
    let path = root().join("experiments/ablations/reparam.yaml");
    let ran = run(&["sweep", path.to_str().unwrap(), "setting=demo", "--dry-run"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("\n12 trials\n"), "{}", ran.stdout);
    // RepGhostNet 0.5x to C5 with BN branches: 377,928 parameters and 39.54 M multiply-adds, as timm counts them.
    let line = ran.stdout.lines().find(|l| l.starts_with("bn-seed0")).expect("the first trial");
    assert!(line.contains("0.378") && line.ends_with("39.5"), "{line}");
    let half = run(&["sweep", path.to_str().unwrap(), "setting=demo", "--dry-run", "--shard", "2/4"]);
    assert!(half.stdout.contains("\n3 trials\n"), "{}", half.stdout);
}

#[test]
fn mistakes_are_bad_input() {
    let folder = folder();
    for (args, text) in [
        (vec!["sweep", "sweep.yaml", "setting=tny"], "error: setting: found 'tny', expected one of tiny (sweep.yaml)\n"),
        (
            vec!["sweep", "nowhere.yaml"],
            "error: cannot read the experiment file nowhere.yaml: No such file or directory (os error 2)\n",
        ),
    ] {
        let ran = folder.run(&args);
        assert_eq!((ran.code, ran.stderr.as_str()), (2, text));
    }
    let ran = folder.run(&["sweep", "sweep.yaml", "--shard", "3/2"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("expected I/N"), "{}", ran.stderr);
}

#[test]
fn trials_train_failures_are_told_and_a_second_call_has_nothing_to_do() {
    let folder = folder();
    let ran = folder.run(&["sweep", "sweep.yaml", "--run-dir", "out", "--no-latency"]);
    assert_eq!(ran.code, 1, "one trial failed: {}", ran.stderr);
    assert!(ran.stderr.contains("2 done, 1 failed, 0 left"), "{}", ran.stderr);
    assert!(ran.stdout.contains("- lost-seed0 failed: "), "{}", ran.stdout);
    assert!(ran.stdout.contains("nowhere.safetensors"), "{}", ran.stdout);
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("out/table.json")).unwrap()).unwrap();
    for (row, done) in [(0, true), (1, false), (2, true)] {
        assert_eq!(json["rows"][row]["mean"].is_number(), done, "{json:#}");
    }
    for name in ["bars.png", "bars.svg", "curves.png", "curves.svg", "macs.png", "table.csv"] {
        assert!(folder.path().join("out").join(name).is_file(), "{name}");
    }
    let log = std::fs::read(folder.path().join("out/trials/bn-seed0/metrics.jsonl")).unwrap();
    let again = folder.run(&["sweep", "sweep.yaml", "--run-dir", "out", "--no-latency"]);
    assert_eq!(again.stdout, ran.stdout);
    assert_eq!(std::fs::read(folder.path().join("out/trials/bn-seed0/metrics.jsonl")).unwrap(), log, "nothing was trained again");
}
