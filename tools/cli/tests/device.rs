//! Devices and libtorch's folder on the command line, on a machine with or without a card.

mod common;

use common::{repghost, run, Folder, Ran};
use repghost_kernels::device::Choice;

const TINY: &str = "
model: {backbone: {name: repghostnet, width: 0.25}, fpn: {channels: 16}, head: {name: retinanet, tower_depth: 1}}
data:
  source: shapes
  workers: 1
  shapes: {train_images: 2, val_images: 1, picture: {size: [64, 64]}}
  augment: {resize: {size: 64}}
train: {batch_size: 2}
";

/// Why the first card cannot be used here; `None` on a machine where it can.
fn no_card() -> Option<String> {
    Choice::Cuda(0).resolve().err().map(|why| why.to_string())
}

/// A card that is asked for by name is an error that says why there is none; `auto` falls back with one line that says the same.
#[test]
fn without_a_card_the_reason_is_named() {
    let Some(why) = no_card() else { return println!("skipped: this machine has a card") };
    let folder = Folder::new(&[("tiny.yaml", TINY)]);
    let out = folder.run(&["train", "tiny.yaml", "--device", "cuda", "--run-dir", "run"]);
    assert_eq!(out.code, 2, "{}", out.stderr);
    let expected =
        format!("error: run.device: cuda cannot be used: {why}; --device cpu takes the CPU, --device auto what there is\n");
    assert_eq!((out.stderr.as_str(), out.stdout.as_str()), (expected.as_str(), ""));
    assert!(!folder.path().join("run").exists(), "nothing is written");
    let out = folder.run(&["train", "tiny.yaml", "--dry-run"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(out.stdout.lines().any(|l| l == format!("device: CPU ({why})")), "{}", out.stdout);
    // A trained detector, for the commands that run one.
    let trained = folder.run(&["train", "tiny.yaml", "train.max_steps=1", "--run-dir", "run"]);
    assert_eq!(trained.code, 0, "{}", trained.stderr);
    for args in [&["bench", "run", "--runtime", "libtorch", "--output", "b"][..], &["predict", "run", "run", "--output", "p"]] {
        let out = folder.run(&[args, &["--device", "cuda"]].concat());
        assert!(out.code == 2 && out.stderr.contains(&why), "{args:?}: {}", out.stderr);
    }
    let doctor = run(&["doctor"]);
    assert!(doctor.stdout.lines().any(|l| l.starts_with("device ") && l.ends_with(&format!("CPU ({why})"))), "{}", doctor.stdout);
}

#[test]
fn the_cpu_is_taken_without_a_word_about_cards() {
    let folder = Folder::new(&[("tiny.yaml", TINY)]);
    let out = folder.run(&["train", "tiny.yaml", "--dry-run", "--device", "cpu"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(out.stdout.lines().any(|l| l == "device: CPU"), "{}", out.stdout);
}

#[test]
fn words_that_are_no_device_are_refused() {
    let folder = Folder::new(&[("tiny.yaml", TINY)]);
    for args in [&["train", "tiny.yaml", "--device", "gpu"][..], &["train", "tiny.yaml", "run.device=gpu"]] {
        let out = folder.run(args);
        assert_eq!(out.code, 2, "{args:?}");
        assert!(out.stderr.contains("'gpu' is no device: expected auto, cpu, cuda or cuda:N"), "{}", out.stderr);
    }
    let out = folder.run(&["bench", "--model", "repghostnet:0.5", "--output", "b", "--device", "cpu"]);
    assert!(out.code == 2 && out.stderr.contains("--device is for detectors"), "{}", out.stderr);
    let out = folder.run(&["eval", "--annotations", "a.json", "--detections", "d.json", "--device", "cpu"]);
    assert_eq!(
        (out.code, out.stderr.as_str()),
        (2, "error: --device is for networks: it needs an experiment file or a run folder\n")
    );
}

/// The launcher looks at a libtorch that the user names before it loads it.
#[test]
fn a_wrong_libtorch_is_one_line() {
    let folder = Folder::new(&[("other/lib/libtorch_cpu.so", ""), ("other/version.py", "__version__ = '2.9.1+cu130'\n")]);
    let with = |libtorch: &str| -> Ran {
        repghost().arg("doctor").env("LIBTORCH", folder.path().join(libtorch)).output().unwrap().into()
    };
    let out = with("nowhere");
    assert_eq!(out.code, 2);
    assert!(out.stderr.starts_with("error: LIBTORCH: no libtorch in ") && out.stderr.lines().count() == 1, "{}", out.stderr);
    let out = with("other");
    assert_eq!(out.code, 2);
    assert!(
        out.stderr.starts_with("error: LIBTORCH: libtorch 2.9.1 in ") && out.stderr.contains("made for 2.11.0"),
        "{}",
        out.stderr
    );
}

/// What people call starts without libtorch.
#[test]
#[cfg(target_os = "linux")]
fn the_launcher_loads_no_libtorch() {
    let out = repghost().env("LD_TRACE_LOADED_OBJECTS", "1").output().unwrap();
    let loaded = String::from_utf8_lossy(&out.stdout);
    assert!(loaded.contains("libc.so"), "{loaded}");
    assert!(!loaded.contains("libtorch") && !loaded.contains("libc10"), "{loaded}");
}

/// Help, versions, settings and checks of data need no libtorch: here there is none.
#[test]
fn what_needs_no_network_needs_no_libtorch() {
    let folder = Folder::new(&[(
        "a.json",
        r#"{"images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0}], "categories": [{"id": 1, "name": "a"}]}"#,
    )]);
    let run = |args: &[&str]| -> Ran {
        repghost().args(args).current_dir(folder.path()).env("LIBTORCH", folder.path().join("nowhere")).output().unwrap().into()
    };
    let light: [(&[&str], &str); 8] = [
        (&["--help"], "Exit codes"),
        (&["train", "--help"], "--resume"),
        (&["bench", "--help"], "openvino"),
        (&["--version"], "repghost-det"),
        (&["config", "--list"], "demo"),
        (&["config", "demo", "train.epochs=3"], "epochs: 3"),
        (&["completions", "bash"], "repghost-det"),
        (&["data", "stats", "--annotations", "a.json"], "images"),
    ];
    for (args, text) in light {
        let out = run(args);
        assert!(out.code == 0 && out.stdout.contains(text), "{args:?}: {} {}", out.stdout, out.stderr);
    }
    let out = run(&["config", "demo", "model.backbone.name=resnet5O"]);
    assert!(out.code == 2 && out.stderr.contains("did you mean resnet50?"), "{}", out.stderr);
    let out = run(&["train", "demo"]);
    assert!(out.code == 2 && out.stderr.starts_with("error: LIBTORCH: no libtorch in "), "{}", out.stderr);
}
