//! `repghost-det sweep` as a binary: trials are processes of the same binary, on tiny built-in pictures.

mod common;

use std::path::Path;

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

/// Trials that are long enough to be killed in the middle: a checkpoint a step.
const SLOW: [&str; 4] =
    ["set.train.epochs=20", "set.train.checkpoint.every_steps=2", "set.train.eval_every=0", "exclude=[{branches: [lost]}]"];

fn table(folder: &Folder, run_dir: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(folder.path().join(run_dir).join("table.json")).unwrap()).unwrap()
}

fn steps(folder: &Folder, trial: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(folder.path().join("out/trials").join(trial).join("metrics.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    records.filter(|r| r["kind"] == "step").map(|r| r["step"].as_u64().unwrap()).collect()
}

/// The sweep and its trial are killed (SIGKILL: nothing is saved, nothing is told) while the second trial trains. The same command then
/// leaves the first alone, and takes the second up at its last checkpoint.
#[cfg(unix)]
#[test]
fn a_sweep_that_was_killed_goes_on_from_the_last_checkpoint() {
    let folder = folder();
    let args = ["--quiet", "sweep", "sweep.yaml", "--run-dir", "out", "--no-latency"];
    let mut command = common::repghost();
    command.current_dir(folder.path()).args(args).args(SLOW).stdout(std::process::Stdio::null());
    let mut sweep = command.spawn().unwrap();
    let checkpoints = folder.path().join("out/trials/none-seed0/checkpoints");
    let waiting = std::time::Instant::now();
    // A file that is still being written has another name.
    let whole = |name: &std::ffi::OsStr| name.to_str().is_some_and(|n| n.starts_with("step_") && n.ends_with(".safetensors"));
    while !std::fs::read_dir(&checkpoints).is_ok_and(|entries| entries.flatten().any(|e| whole(&e.file_name()))) {
        assert!(waiting.elapsed().as_secs() < 300, "the second trial wrote no checkpoint");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    sweep.kill().unwrap();
    sweep.wait().unwrap();
    let state: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.path().join("out/states/none-seed0.json")).unwrap()).unwrap();
    assert_eq!(state["status"], "running", "nobody could tell that it stopped");
    let trial = state["pid"].as_u64().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-KILL", &trial]).status().unwrap().success());
    // A process that has ended and waits for its parent has no command line any more.
    while std::fs::read(Path::new("/proc").join(&trial).join("cmdline")).is_ok_and(|line| !line.is_empty()) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let done = std::fs::read(folder.path().join("out/trials/bn-seed0/metrics.jsonl")).unwrap();
    let reached = steps(&folder, "none-seed0").len();
    assert!(reached < 40, "the second trial had ended before it was killed");

    let args: Vec<&str> = args.iter().chain(&SLOW).copied().collect();
    let again = folder.run(&args);
    assert_eq!((again.code, again.stderr.as_str()), (0, ""), "quiet, and nothing failed");
    let log = std::fs::read_to_string(folder.path().join("out/logs/none-seed0.log")).unwrap();
    let resumed = log.lines().find_map(|l| l.split_once("resuming after step ")).expect("the second process goes on").1;
    let resumed: u64 = resumed.split(' ').next().unwrap().parse().unwrap();
    assert!(resumed >= 2, "{resumed}");
    let expected: Vec<u64> = (1..=40).collect();
    assert_eq!(steps(&folder, "none-seed0"), expected, "20 epochs of 2 steps, each on record once");
    assert_eq!(std::fs::read(folder.path().join("out/trials/bn-seed0/metrics.jsonl")).unwrap(), done, "the first was left alone");
    let trial = &table(&folder, "out")["rows"][1]["trials"][0];
    assert_eq!((trial["status"].as_str(), trial["value"].is_number()), (Some("done"), true), "{trial:#}");
}

/// Two machines run a shard each; their folders, copied together, give the table that one machine gives alone.
#[test]
fn two_shards_merge_into_the_table_of_the_whole() {
    let folder = folder();
    let sweep = |run_dir: &str, more: &[&str]| {
        let args = [
            "--quiet",
            "sweep",
            "sweep.yaml",
            "--no-latency",
            "exclude=[{branches: [lost]}]",
            "seeds=[0, 1]",
            "--run-dir",
            run_dir,
        ];
        let ran = folder.run(&args.iter().chain(more).copied().collect::<Vec<_>>());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        ran.stdout
    };
    let whole = sweep("whole", &[]);
    for shard in ["1/2", "2/2"] {
        let half = sweep(&format!("half-{}", &shard[..1]), &["--shard", shard]);
        assert_eq!(half.matches("was not started").count(), 2, "{half}");
    }
    for half in ["half-1", "half-2"] {
        copy(&folder.path().join(half), &folder.path().join("merged"));
    }
    assert_eq!(sweep("merged", &["--table-only"]), whole);
    let strip = |mut json: serde_json::Value| {
        for row in json["rows"].as_array_mut().unwrap() {
            row["trials"].as_array_mut().unwrap().iter_mut().for_each(|t| t["seconds"] = 0.into());
        }
        json
    };
    assert_eq!(strip(table(&folder, "merged")), strip(table(&folder, "whole")));
    assert!(table(&folder, "whole")["rows"][1]["deviation"].is_number());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// What made a trial fail is mended, and `--retry-failed` runs it alone.
#[test]
fn retry_failed_runs_failed_trials_again() {
    let folder = folder();
    let only = "only=[{branches: [BN, lost]}]";
    let args = ["--quiet", "sweep", "sweep.yaml", "--run-dir", "out", "--no-latency", only];
    let first = folder.run(&args);
    assert_eq!(first.code, 1);
    assert!(first.stderr.starts_with("[2/2] lost-seed0 failed: ") && first.stderr.lines().count() == 1, "{}", first.stderr);
    let weights = folder.path().join("out/trials/bn-seed0/weights/last.safetensors");
    std::fs::copy(weights, folder.path().join("nowhere.safetensors")).unwrap();
    assert_eq!(folder.run(&args).code, 1, "it stays failed until it is asked for");
    let done = std::fs::read(folder.path().join("out/trials/bn-seed0/metrics.jsonl")).unwrap();
    let again = folder.run(&[&args[..], &["--retry-failed"]].concat());
    assert_eq!((again.code, again.stderr.as_str()), (0, ""));
    assert_eq!(std::fs::read(folder.path().join("out/trials/bn-seed0/metrics.jsonl")).unwrap(), done);
    assert!(!again.stdout.contains("failed"), "{}", again.stdout);
}
