//! The examples run, on built-in data.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Cargo builds examples beside the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    test.parent().and_then(Path::parent).expect("target/release/deps").join("examples").join(name)
}

fn run(name: &str, arguments: &[&Path]) -> String {
    let output = Command::new(example(name)).args(arguments).output().expect("the example starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn a_detector_is_trained_and_detects() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let trained = run("train", &[&folder]);
    assert!(trained.contains("Finished"), "{trained}");
    let detected = run("detect", &[&folder.join("weights/best.safetensors")]);
    assert!(detected.starts_with("classes: ") && detected.trim_end().ends_with("objects"), "{detected}");
}

#[test]
fn a_hook_stops_a_run_in_good_order() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let text = run("custom_hook", &[&folder, Path::new("0")]);
    assert!(text.contains("time is up after step 1") || text.contains("stopped; a checkpoint"), "{text}");
    assert!(folder.join("checkpoints/step_00000001.safetensors").is_file());
}

#[test]
fn a_backbone_of_the_user_is_trained_fused_exported_and_analyzed() {
    let found = repghost_export::runtime::onnxruntime::find();
    if repghost_testing::need("onnxruntime", found, "make setup").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let text = run("custom_backbone", &[dir.path()]);
    for part in ["parameters", "largest difference", "exported: "] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(dir.path().join("wide.onnx").is_file() && dir.path().join("fused.safetensors").is_file());
}
