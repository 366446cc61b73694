//! `repghost-det weights` as its users see it.

mod common;

use common::{root, run, Folder};

fn fixture(name: &str) -> String {
    root().join("backbone/tests/fixtures/weights").join(name).to_str().expect("a path of text").to_string()
}

#[test]
fn a_checkpoint_is_inspected_without_running_it() {
    let out = run(&["weights", "inspect", &fixture("checkpoint.pth")]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    for line in [
        "file      torch zip, state_dict_ema of a training checkpoint",
        "network   not known",
        "tensors   2",
        "elements  4",
        "metadata  arch = repghostnet_0_5x",
        "metadata  metric = 66.946",
        "foreign   __builtin__.set (named in the file, not executed)",
        "w                      Float    [3]",
    ] {
        assert!(out.stdout.lines().any(|l| l == line), "no '{line}' in\n{}", out.stdout);
    }
}

#[test]
fn any_container_is_converted_to_the_same_tensors() {
    let folder = Folder::new(&[]);
    let tensors = |file: &str| {
        let out = folder.run(&["weights", "inspect", file, "--json"]);
        assert_eq!(out.code, 0, "{}", out.stderr);
        let json: serde_json::Value = serde_json::from_str(&out.stdout).unwrap();
        let mut list = json["tensors"].as_array().unwrap().clone();
        list.sort_by_key(|t| t["name"].as_str().unwrap().to_string());
        list
    };
    let expected = tensors(&fixture("kinds.safetensors"));
    assert_eq!(expected.len(), 11);
    for name in ["kinds.pth", "kinds_legacy.pth", "kinds.safetensors"] {
        let ran = folder.run(&["weights", "convert", &fixture(name), "out.safetensors", "--force"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
        assert_eq!(tensors("out.safetensors"), expected, "{name}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["out.safetensors"]);
}

#[test]
fn bad_files_are_one_line_and_code_2() {
    let folder = Folder::new(&[("text.pth", "hello, this is no weight file"), ("old.safetensors", "precious")]);
    let refused = |args: &[&str], part: &str| {
        let ran = folder.run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(part), "{}", ran.stderr);
    };
    refused(&["weights", "inspect", "text.pth"], "text.pth: neither a safetensors file nor one written by torch.save");
    refused(&["weights", "inspect", "gone.pth"], "gone.pth: ");
    refused(&["weights", "inspect", &fixture("whole_module.pth")], "save model.state_dict() instead");
    refused(&["weights", "inspect", &fixture("torchscript.pt")], "TorchScript");
    let good = fixture("kinds.pth");
    refused(&["weights", "convert", &good, "old.safetensors"], "--force replaces it");
    refused(&["weights", "convert", &good, "out.pth"], "only safetensors are written");
    assert_eq!(std::fs::read_to_string(folder.path().join("old.safetensors")).unwrap(), "precious");
    assert!(!folder.path().join("out.pth").exists());
}
