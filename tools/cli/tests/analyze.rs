//! `repghost-det analyze` as its users see it.

mod common;

use common::{run, Folder};

#[test]
fn backbones_are_compared_by_name() {
    let out = run(&["analyze", "--backbone", "repghostnet", "--backbone", "ghostnet", "--width", "1.3"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let lines: Vec<Vec<&str>> = out.stdout.lines().take(3).map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..2], ["network", "parameters"]);
    assert_eq!(lines[1][..9], ["repghostnet", "1.3x,", "1000", "classes,", "224x224", "5478612", "5450052", "231.12", "231.12"]);
    assert_eq!(lines[2][..6], ["ghostnet", "1.3x,", "1000", "classes,", "224x224", "7358820"]);
}

#[test]
fn an_experiment_is_priced_with_overrides() {
    let folder = Folder::new(&[("a.yaml", "model:\n  backbone: {name: repghostnet, width: 0.5}\n")]);
    let price = |extra: &[&str]| {
        let args = [&["analyze", "a.yaml"], extra, &["--size", "64,96", "--format", "json"]].concat();
        let out = folder.run(&args);
        assert_eq!(out.code, 0, "{}", out.stderr);
        serde_json::from_str::<serde_json::Value>(&out.stdout).unwrap()
    };
    let one = price(&[]);
    assert_eq!(one[0]["name"], "retinanet on repghostnet 0.5x");
    assert_eq!(one[0]["size"], serde_json::json!([64, 96]));
    let two = price(&["a.yaml", "model.backbone.name=mobilenet_v3_small"]);
    assert_eq!((&two[0], two[1]["name"].as_str()), (&one[0], Some("retinanet on mobilenet_v3_small 0.5x")));
}

#[test]
fn bad_input_is_one_line_and_code_2() {
    let refused = |args: &[&str], part: &str| {
        let out = run(args);
        assert_eq!((out.code, out.stdout.as_str()), (2, ""), "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains(part), "{args:?}: {}", out.stderr);
    };
    refused(&["analyze", "--backbone", "resnet5O"], "did you mean resnet50?");
    refused(
        &["analyze", "--backbone", "resnet50", "--width", "2"],
        "model.backbone.width: found 2.0, expected no such key for resnet50",
    );
    refused(&["analyze", "--backbone", "resnet18", "--size", "224"], "--size");
    refused(&["analyze", "--backbone", "resnet18", "--size", "8,8"], "two numbers from 33");
    refused(&["analyze", "--backbone", "resnet18", "--classes", "0"], "--classes: found 0");
    refused(&["analyze"], "Usage");
    refused(&["analyze", "absent.yaml"], "absent.yaml");
}
