//! The binary's manners: help, versions, exit codes.

mod common;

use common::{repghost, run};

/// Names of all commands, as `--help` lists them.
fn commands() -> Vec<String> {
    let help = run(&["--help"]);
    let list = help.stdout.split("Commands:\n").nth(1).expect("a list of commands").split("\n\n").next().unwrap().to_string();
    list.lines()
        .filter(|l| l.starts_with("  ") && !l.starts_with("   "))
        .filter_map(|l| l.split_whitespace().next())
        .map(str::to_string)
        .collect()
}

#[test]
fn every_command_has_help_with_a_worked_example() {
    let names = commands();
    assert!(names.len() >= 3, "{names:?}");
    for name in names.iter().filter(|n| *n != "help") {
        let help = run(&[name, "--help"]);
        assert_eq!(help.code, 0, "{name}");
        assert!(
            help.stdout.contains("repghost-det ") && help.stdout.contains("Examples:"),
            "{name} has no example:\n{}",
            help.stdout
        );
    }
}

#[test]
fn version_and_help_are_no_errors() {
    let version = run(&["--version"]);
    assert_eq!((version.code, version.stdout.as_str(), version.stderr.as_str()), (0, "repghost-det 0.1.0\n", ""));
    assert_eq!(run(&["help"]).code, 0);
}

#[test]
fn unknown_commands_are_bad_input_and_the_nearest_is_named() {
    let out = run(&["confg"]);
    assert_eq!((out.code, out.stdout.as_str()), (2, ""));
    assert!(out.stderr.contains("'config'"), "{}", out.stderr);
    assert_eq!(run(&[]).code, 2);
}

#[test]
fn a_closed_pipe_is_no_error() {
    use std::io::Read;
    use std::process::Stdio;
    let mut child = repghost().args(["config", "--defaults"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn doctor_tells_what_is_there() {
    let out = run(&["doctor"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let parts = ["device", "driver", "libtorch CUDA", "cuDNN", "NVRTC", "NCCL"];
    for name in ["repghost-det", "tch", "libtorch", "threads", "onnxruntime", "trtexec"].iter().chain(&parts) {
        assert!(out.stdout.lines().any(|l| l.starts_with(*name)), "{name}:\n{}", out.stdout);
    }
    let json: serde_json::Value = serde_json::from_str(&run(&["doctor", "--json"]).stdout).unwrap();
    assert!(json["libtorch"]["version"].as_str().is_some_and(|v| v.starts_with("2.")), "{json}");
    assert!(json["processors"].as_u64().is_some_and(|n| n >= 1));
}

#[test]
fn doctor_says_what_it_found_and_where_it_looked() {
    let folder = common::Folder::new(&[("libonnxruntime.so", "")]);
    let library = folder.path().join("libonnxruntime.so");
    let out =
        repghost().arg("doctor").env("ORT_DYLIB_PATH", &library).env("TRTEXEC", "/nowhere/trtexec").env("PATH", "").output();
    let out: common::Ran = out.unwrap().into();
    assert_eq!(out.code, 0);
    let line = |name: &str| out.stdout.lines().find(|l| l.starts_with(name)).unwrap_or_default().to_string();
    assert!(line("onnxruntime").ends_with(library.to_str().unwrap()), "{}", out.stdout);
    assert!(line("trtexec").contains("not found; looked at TRTEXEC=/nowhere/trtexec, PATH"), "{}", out.stdout);
}
