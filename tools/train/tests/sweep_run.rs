//! The runner, with a stand-in for the program: a script that takes the arguments of `train` and writes what a run would.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use repghost_train::error::{RunFolderProblem, TrainError};
use repghost_train::report;
use repghost_train::sweep::{results, runner, table, Event, Plan, RunOptions, Shard, Status, Summary, SweepFolder};

const BASE: &str = "train: {epochs: 2}\nmodel: {head: {name: retinanet}}\n";

const SWEEP: &str = "
title: A sweep
setting: s
settings: {s: {base: base.yaml, metric: bbox/AP}}
axes:
  branches:
    bn: {model.backbone.branches: [bn]}
    id: {model.backbone.branches: [identity]}
    none: {model.backbone.branches: []}
seeds: [0, 1]
published:
  - {row: bn, value: 66.9, metric: 'top-1, %', source: somebody}
";

/// Notes each call, then acts as the files beside it say: `fail-ID` fails, `wait-ID` trains until it is interrupted, `early-ID` does not listen yet.
const PROGRAM: &str = r#"#!/bin/sh
[ "$1" = train ] && [ "$3" = --run-dir ] || exit 64
[ -f "$2" ] || exit 65
id=$(basename "$4"); here=$(dirname "$0")
echo "$id $5" >> "$here/calls"
mkdir -p "$4"; cp "$2" "$4/config.yaml"
if [ -e "$here/fail-$id" ]; then echo "error: the loss is not finite at step 3" >&2; exit 1; fi
if [ -e "$here/early-$id" ]; then touch "$here/waiting"; exec sleep 60; fi
if [ -e "$here/wait-$id" ]; then
  trap 'exit 130' TERM
  echo '{"kind":"epoch","step":5,"epoch":1,"loss":1.0,"seconds":1.0,"data_seconds":0.0}' > "$4/metrics.jsonl"
  touch "$here/waiting"
  while :; do sleep 0.05; done
fi
case $id in bn-*) v=0.5;; *) v=0.25;; esac
case $id in *seed1) v="${v}5";; esac
echo "{\"kind\":\"eval\",\"step\":9,\"epoch\":2,\"ema\":false,\"metrics\":[[\"bbox/AP\",$v]],\"headline\":$v,\"best\":true,\"seconds\":1.0}" >> "$4/metrics.jsonl"
"#;

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("base.yaml", BASE), ("sweep.yaml", SWEEP), ("program", PROGRAM)] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        std::fs::set_permissions(dir.path().join("program"), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn flag(&self, name: &str) {
        std::fs::write(self.path(name), "").unwrap();
    }

    fn unflag(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    fn plan(&self, overrides: &[&str]) -> Plan {
        let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
        Plan::read(&self.path("sweep.yaml"), &overrides).unwrap()
    }

    fn folder(&self) -> SweepFolder {
        SweepFolder::open(&self.path("out")).unwrap()
    }

    fn options(&self) -> RunOptions {
        RunOptions {
            program: self.path("program"),
            jobs: 2,
            devices: vec![],
            shard: Shard::default(),
            retry_failed: false,
            processes: None,
        }
    }

    fn run(&self, options: &RunOptions) -> Summary {
        runner::run(&self.plan(&[]), &self.folder(), options, &AtomicBool::new(false), |_| {}).unwrap()
    }

    /// The calls since the last look, sorted.
    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = std::fs::remove_file(self.path("calls"));
        let mut lines: Vec<String> = text.lines().map(|l| l.trim().to_string()).collect();
        lines.sort();
        lines
    }
}

#[test]
fn every_trial_runs_once_and_a_second_sweep_finds_them_done() {
    let f = Fixture::new();
    assert_eq!(f.run(&f.options()), Summary { done: 6, failed: 0, left: 0 });
    assert_eq!(f.calls(), ["bn-seed0", "bn-seed1", "id-seed0", "id-seed1", "none-seed0", "none-seed1"]);
    assert_eq!(f.run(&f.options()), Summary { done: 6, failed: 0, left: 0 });
    assert!(f.calls().is_empty());
}

#[test]
fn a_failed_trial_is_told_and_stops_nothing() {
    let f = Fixture::new();
    f.flag("fail-id-seed1");
    assert_eq!(f.run(&f.options()), Summary { done: 5, failed: 1, left: 0 });
    let state = f.folder().state("id-seed1").unwrap().unwrap();
    assert_eq!((state.status, state.attempts), (Status::Failed, 1));
    assert_eq!(state.reason.as_deref(), Some("the loss is not finite at step 3"));
    f.calls();
    f.unflag("fail-id-seed1");
    assert_eq!(f.run(&f.options()).failed, 1, "without --retry-failed it stays failed");
    assert!(f.calls().is_empty());
    assert_eq!(f.run(&RunOptions { retry_failed: true, ..f.options() }), Summary { done: 6, failed: 0, left: 0 });
    assert_eq!(f.calls(), ["id-seed1 --resume"], "what it had reached is not thrown away");
    assert_eq!(f.folder().state("id-seed1").unwrap().unwrap().attempts, 2);
}

/// A trial that the signal ends because it does not listen yet is interrupted, not failed: the next sweep goes on with it.
#[test]
fn a_trial_that_is_stopped_before_it_listens_goes_on_later() {
    let f = Fixture::new();
    f.flag("early-bn-seed0");
    let stop = Arc::new(AtomicBool::new(false));
    let (waiting, setter) = (f.path("waiting"), stop.clone());
    let watcher = std::thread::spawn(move || {
        while !waiting.exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        setter.store(true, Ordering::Relaxed);
    });
    let options = RunOptions { jobs: 1, ..f.options() };
    let summary = runner::run(&f.plan(&[]), &f.folder(), &options, &stop, |_| {});
    watcher.join().unwrap();
    assert_eq!(summary.unwrap(), Summary { done: 0, failed: 0, left: 6 });
    assert_eq!(f.folder().state("bn-seed0").unwrap().unwrap().status, Status::Interrupted);
    f.unflag("early-bn-seed0");
    assert_eq!(f.run(&f.options()), Summary { done: 6, failed: 0, left: 0 });
}

#[test]
fn an_interrupted_sweep_stops_its_trials_in_good_order_and_goes_on() {
    let f = Fixture::new();
    f.flag("wait-bn-seed1");
    let stop = Arc::new(AtomicBool::new(false));
    let (waiting, setter) = (f.path("waiting"), stop.clone());
    let watcher = std::thread::spawn(move || {
        while !waiting.exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // Long enough for the progress of the waiting trial to be read.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        setter.store(true, Ordering::Relaxed);
    });
    let mut progress = Vec::new();
    let options = RunOptions { jobs: 1, ..f.options() };
    let summary = runner::run(&f.plan(&[]), &f.folder(), &options, &stop, |event| {
        if let Event::Progress(trial, share) = event {
            progress.push((trial.id.clone(), share));
        }
    });
    watcher.join().unwrap();
    assert_eq!(summary.unwrap(), Summary { done: 1, failed: 0, left: 5 });
    assert_eq!(f.folder().state("bn-seed1").unwrap().unwrap().status, Status::Interrupted);
    assert!(progress.contains(&("bn-seed1".to_string(), 0.5)), "{progress:?}");
    assert_eq!(f.calls(), ["bn-seed0", "bn-seed1"]);
    f.unflag("wait-bn-seed1");
    assert_eq!(f.run(&f.options()), Summary { done: 6, failed: 0, left: 0 });
    let calls = f.calls();
    assert!(calls.contains(&"bn-seed1 --resume".to_string()), "{calls:?}");
    assert!(!calls.contains(&"bn-seed0".to_string()), "{calls:?}");
}

#[test]
fn a_killed_sweep_goes_on_where_it_was() {
    let f = Fixture::new();
    // As a sweep leaves it that was killed: a trial is said to run, under a process that is no more.
    let (plan, folder) = (f.plan(&[]), f.folder());
    folder.prepare(&plan.trials[0]).unwrap();
    std::fs::create_dir_all(folder.run("bn-seed0").join("checkpoints")).unwrap();
    let mut state: serde_json::Value =
        serde_json::json!({"status": "running", "attempts": 1, "seconds": 5.0, "pid": u32::MAX, "host": "x", "reason": null});
    std::fs::write(f.path("out/states/bn-seed0.json"), state.to_string()).unwrap();
    assert_eq!(f.run(&f.options()).done, 6);
    assert!(f.calls().contains(&"bn-seed0 --resume".to_string()));
    let after = folder.state("bn-seed0").unwrap().unwrap();
    assert_eq!((after.status, after.attempts, after.seconds >= 5.0), (Status::Done, 2, true));
    // A state that was cut short counts as interrupted.
    state["status"] = "do".into();
    std::fs::write(f.path("out/states/bn-seed0.json"), &state.to_string()[..20]).unwrap();
    assert_eq!(folder.state("bn-seed0").unwrap().unwrap().status, Status::Interrupted);
}

#[test]
fn two_shards_merge_by_their_folder() {
    let f = Fixture::new();
    let shard = |index| f.run(&RunOptions { shard: Shard { index, count: 2 }, ..f.options() });
    assert_eq!(shard(1), Summary { done: 3, failed: 0, left: 0 });
    let half = results::collect(&f.plan(&[]), &f.folder(), &[]).unwrap();
    assert_eq!(half.rows[0].values(), [0.5], "seed 1 is the other machine's");
    assert!(table::markdown(&half).contains("bn-seed1 was not started"));
    assert_eq!(shard(2), Summary { done: 3, failed: 0, left: 0 });
    let whole = results::collect(&f.plan(&[]), &f.folder(), &[]).unwrap();
    assert_eq!(whole.rows[0].values(), [0.5, 0.55]);
    assert!((whole.rows[0].mean.unwrap() - 0.525).abs() < 1e-12);
    assert!((whole.rows[0].deviation.unwrap() - 0.05 / 2f64.sqrt()).abs() < 1e-12);
    assert!((whole.rows[1].difference.unwrap() - (0.2525 - 0.525)).abs() < 1e-9);
    // Seed by seed -0.25 and -0.295: their deviation is half the distance times the root of 2.
    assert!((whole.rows[1].difference_deviation.unwrap() - 0.045 / 2f64.sqrt()).abs() < 1e-9);
    assert_eq!((whole.rows[0].difference, whole.rows[0].difference_deviation), (None, None));
}

#[test]
fn tables_keep_published_figures_apart() {
    let f = Fixture::new();
    f.flag("fail-none-seed0");
    f.run(&f.options());
    let results = results::collect(&f.plan(&[]), &f.folder(), &[]).unwrap();
    let markdown = table::markdown(&results);
    let lines: Vec<&str> = markdown.lines().filter(|l| l.starts_with('|')).collect();
    assert!(lines[0].ends_with("| published by others: top-1, % |"), "{markdown}");
    assert_eq!(lines[2], "| bn | 0.5250 ± 0.0354 | 2/2 | – | – | – | – | – | 66.9 |");
    assert_eq!(lines[3], "| id | 0.2525 ± 0.0035 | 2/2 | -0.2725 ± 0.0318 | – | – | – | – | – |");
    assert!(lines[4].starts_with("| none | 0.2550 | 1/2 | -0.2950 |"), "{markdown}");
    assert!(markdown.contains("- none-seed0 failed: the loss is not finite at step 3"), "{markdown}");
    assert!(markdown.contains("not ours"), "{markdown}");
    let csv = table::csv(&results);
    let (head, tail) = ("bn,bbox/AP,0.525,", ",2,2,,,,,,,,,,,,66.9,\"top-1, %\",somebody");
    let line = csv.lines().nth(1).unwrap();
    let deviation = line.strip_prefix(head).and_then(|l| l.strip_suffix(tail)).unwrap_or_else(|| panic!("{line}"));
    assert!((deviation.parse::<f64>().unwrap() - 0.05 / 2f64.sqrt()).abs() < 1e-12, "{line}");
}

#[test]
fn a_trial_is_not_mixed_with_another_experiment() {
    let f = Fixture::new();
    f.run(&f.options());
    let plan = f.plan(&["set.train.epochs=3"]);
    let error = runner::run(&plan, &f.folder(), &f.options(), &AtomicBool::new(false), |_| {}).unwrap_err();
    assert!(error.to_string().contains("was started with another experiment (different: train.epochs)"), "{error}");
    assert!(matches!(error, TrainError::RunFolder { problem: RunFolderProblem::OtherExperiment { .. }, .. }));
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let f = Fixture::new();
    let options = RunOptions { program: f.path("nowhere"), ..f.options() };
    let error = runner::run(&f.plan(&[]), &f.folder(), &options, &AtomicBool::new(false), |_| {}).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn pictures_are_drawn_of_what_there_is() {
    let f = Fixture::new();
    f.run(&f.options());
    let written = repghost_train::sweep::report::write(&f.plan(&[]), &f.folder(), false).unwrap();
    let names: Vec<String> = written.files.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["table.md", "table.csv", "table.json", "bars.png", "bars.svg", "macs.png", "macs.svg"]);
    for name in &names {
        assert!(std::fs::metadata(f.path("out").join(name)).unwrap().len() > 200, "{name}");
    }
    let svg = std::fs::read_to_string(f.path("out/bars.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("0.525 ± 0.035") && svg.contains("bbox/AP"), "labels are in the picture");
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(f.path("out/table.json")).unwrap()).unwrap();
    assert_eq!(json["rows"][0]["cost"]["parameters"], 1_407_004, "RepGhostNet 1.0x to C5, as timm counts it");
    assert_eq!(json["rows"][0]["published"]["value"], 66.9);
}

/// A report of a sweep of which one trial failed and two are another machine's.
#[test]
fn a_report_shows_the_table_published_figures_apart_and_every_trial() {
    let f = Fixture::new();
    f.flag("fail-id-seed1");
    let stop = AtomicBool::new(false);
    let only = f.plan(&["exclude=[{branches: none}]"]);
    runner::run(&only, &f.folder(), &f.options(), &stop, |_| {}).unwrap();
    // Written before the trials ran, as `sweep` does: the report reads them as they are now.
    repghost_train::sweep::report::write(&f.plan(&[]), &f.folder(), false).unwrap();
    let request = report::Request { folders: vec![f.path("out")], images: 4 };
    let page = report::make(&request, &mut |_| ()).unwrap();
    let text = page.html.as_str();
    for part in [
        "<h1>A sweep</h1>",
        "3 of 6 trials are done, 1 failed.",
        "published by others",
        r#"data-v="66.9">66.9 (top-1, %)</td>"#,
        r#"data-v="0.525">0.5250</td>"#,
        "the loss is not finite at step 3",
        r#"<span class="state">not started</span>"#,
        "data:image/svg+xml;base64,",
        "model.backbone.branches",
    ] {
        assert!(text.contains(part), "{part} is missing");
    }
    assert_eq!(page.notes.len(), 2, "the first seed of each row that ran has no detections: {:?}", page.notes);
    let nothing = report::make(&report::Request { folders: vec![f.path("nowhere")], images: 4 }, &mut |_| ()).unwrap_err();
    assert!(matches!(nothing, TrainError::RunFolder { problem: RunFolderProblem::Missing, .. }));
    std::fs::remove_file(f.path("out/table.json")).unwrap();
    let untold = report::make(&request, &mut |_| ()).unwrap_err().to_string();
    assert!(untold.ends_with("there is no table.json yet: the sweep's table was not written"), "{untold}");
}
