//! Judging from the command line: diagnosis, thresholds, suspects, comparison and its exit codes; what shells want.

mod common;

use common::{run, Folder};
use serde_json::{json, Value};

/// Twelve images with four objects each, half of a class; a detector that finds most of them, and one that finds half.
fn files() -> Folder {
    let (mut annotations, mut good, mut poor) = (vec![], vec![], vec![]);
    for image in 1..=12 {
        for n in 0..4 {
            let id = annotations.len() + 1;
            let (category, bbox) = (1 + n % 2, json!([60 * n, 10 * image, 40, 30]));
            annotations
                .push(json!({"id": id, "image_id": image, "category_id": category, "bbox": bbox, "area": 1200, "iscrowd": 0}));
            let score = 0.5 + 0.01 * id as f64;
            let found = json!({"image_id": image, "category_id": category, "bbox": bbox, "score": score});
            if (image + n) % 7 != 0 {
                good.push(found.clone());
            }
            if (image + n) % 2 == 0 {
                poor.push(found);
            }
        }
        // Where nothing is labelled.
        good.push(
            json!({"image_id": image, "category_id": 1, "bbox": [10, 200, 40, 30], "score": 0.3 + 0.05 * f64::from(image)}),
        );
    }
    let images: Vec<Value> =
        (1..=12).map(|i| json!({"id": i, "file_name": format!("{i}.png"), "width": 300, "height": 250})).collect();
    let categories = json!([{"id": 1, "name": "ant"}, {"id": 2, "name": "bee"}]);
    let truth = json!({"images": images, "annotations": annotations, "categories": categories});
    let text = |v: &Value| v.to_string();
    Folder::new(&[("gt.json", &text(&truth)), ("good.json", &text(&json!(good))), ("poor.json", &text(&json!(poor)))])
}

fn at(folder: &Folder, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

#[test]
fn diagnosis_is_six_lines_and_a_key_of_the_metrics() {
    let folder = files();
    let (truth, found, output) = (at(&folder, "gt.json"), at(&folder, "good.json"), at(&folder, "out"));
    let out = run(&["eval", "--annotations", &truth, "--detections", &found, "--summary", "--diagnose", "--output", &output]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let lines: Vec<&str> = out.stdout.lines().skip_while(|l| *l != "bbox").skip(1).collect();
    let names: Vec<&str> = lines.iter().filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(names, ["errors", "confusion", "calibration", "sizes", "classes", "images"], "{}", out.stdout);
    assert!(lines[0].contains("background +0.") && lines[0].contains("(12)"), "{}", lines[0]);
    let metrics: Value = serde_json::from_slice(&std::fs::read(folder.path().join("out/metrics.json")).unwrap()).unwrap();
    assert_eq!(metrics["diagnosis"]["bbox"]["errors"].as_array().map(Vec::len), Some(6));
    assert!(metrics["bbox"]["AP"].as_f64().is_some_and(|ap| ap > 0.5));
}

#[test]
fn thresholds_are_chosen_written_and_measured() {
    let folder = files();
    let (truth, found, output) = (at(&folder, "gt.json"), at(&folder, "good.json"), at(&folder, "out"));
    let base = ["eval", "--annotations", &truth, "--detections", &found, "--summary"];
    let with = |more: &[&str]| run(&[&base[..], more].concat());
    let out = with(&["--choose", "f1", "--per-class", "--output", &output]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(out.stdout.contains("thresholds for f1 on 12 images") && out.stdout.contains("\nbee "), "{}", out.stdout);
    assert!(out.stderr.contains("on the same images"), "{}", out.stderr);
    let file = at(&folder, "out/thresholds.json");
    let measured = with(&["--thresholds", &file]);
    assert!(
        measured.stdout.contains("at the thresholds of") && measured.stdout.contains("(f1): precision "),
        "{}",
        measured.stdout
    );
    assert!(measured.stderr.contains("these very images"), "{}", measured.stderr);
    let far = with(&["--choose", "recall=1"]);
    assert_eq!(far.code, 2);
    assert!(far.stderr.contains("--choose recall=1: no threshold reaches a recall of 1; the highest is 0.8"), "{}", far.stderr);
    let bad = with(&["--choose", "f2"]);
    assert!(bad.code == 2 && bad.stderr.contains("expected f1, precision=0.95 or recall=0.9"), "{}", bad.stderr);
    std::fs::write(&file, "{}").unwrap();
    let damaged = with(&["--thresholds", &file]);
    assert!(damaged.code == 2 && damaged.stderr.contains("thresholds.json"), "{}", damaged.stderr);
}

#[test]
fn comparison_has_a_verdict_and_a_gate() {
    let folder = files();
    let (truth, good, poor) = (at(&folder, "gt.json"), at(&folder, "good.json"), at(&folder, "poor.json"));
    let compare = |a: &str, b: &str, more: &[&str]| {
        run(&[&["compare", a, b, "--annotations", &truth, "--samples", "200"][..], more].concat())
    };
    let worse = compare(&good, &poor, &["--fail-below", "-0.01"]);
    assert_eq!(worse.code, 3, "{}{}", worse.stdout, worse.stderr);
    assert!(worse.stdout.contains("AP of boxes: B is worse than A by 0."), "{}", worse.stdout);
    assert!(worse.stdout.contains("one run each: the noise of seeds is not in the interval"), "{}", worse.stdout);
    let same = compare(&good, &good, &["--fail-below", "-0.01", "--output", &at(&folder, "c.json")]);
    assert_eq!(same.code, 0, "{}", same.stderr);
    assert!(same.stdout.contains("B and A are equal on every sample"), "{}", same.stdout);
    let written: Value = serde_json::from_slice(&std::fs::read(folder.path().join("c.json")).unwrap()).unwrap();
    assert_eq!((written["images"].as_u64(), written["overall"][0]["verdict"].as_str()), (Some(12), Some("equal")));
    let seeds = compare(&format!("{good},{good}"), &format!("{poor},{poor}"), &[]);
    assert!(seeds.code == 0 && seeds.stdout.contains("(2 and 2 runs)"), "{}{}", seeds.stdout, seeds.stderr);
    let without = run(&["compare", &good, &poor]);
    assert!(without.code == 2 && without.stderr.contains("--annotations: files of detections need"), "{}", without.stderr);
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let no_run = compare(&good, empty.to_str().unwrap(), &[]);
    assert!(no_run.code == 2 && no_run.stderr.contains("no detections.json here"), "{}", no_run.stderr);
}

/// Runs on the built-in data and on a set of one's own.
#[test]
fn runs_on_other_data_are_not_compared() {
    let folder = files();
    folder.write("run/config.yaml", "data: {source: shapes, shapes: {train_images: 2, val_images: 2}}\n");
    folder.write("run/detections.json", "[]");
    folder.write("other/config.yaml", "");
    folder.write("other/detections.json", r#"[{"image_id": 7777, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}]"#);
    let out = folder.run(&["compare", "run", "other"]);
    assert_eq!(out.code, 2, "{}", out.stderr);
    assert!(out.stderr.contains("image_id 7777") && out.stderr.contains("made for other data"), "{}", out.stderr);
}

#[test]
fn suspects_are_listed_and_drawn() {
    let folder = files();
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    for i in 1..=12 {
        image_of(&images.join(format!("{i}.png")));
    }
    let (truth, found, output) = (at(&folder, "gt.json"), at(&folder, "good.json"), at(&folder, "out"));
    let base = ["data", "suspects", "--annotations", &truth, "--detections", &found];
    let images = images.to_str().unwrap();
    let out = run(&[&base[..], &["--images", images, "--output", &output, "--top", "4"]].concat());
    assert_eq!(out.code, 0, "{}", out.stderr);
    let first = out.stdout.lines().next().unwrap();
    assert!(first.contains("0.900  missing label") && first.contains("in 12.png"), "{first}");
    assert!(out.stdout.contains("9 missing, 0 of another class, 0 badly placed"), "{}", out.stdout);
    let list: Value = serde_json::from_slice(&std::fs::read(folder.path().join("out/suspects.json")).unwrap()).unwrap();
    assert_eq!(list.as_array().map(Vec::len), Some(9));
    assert!(folder.path().join("out/suspects.png").is_file());
    let bad = run(&[&base[..], &["--score-threshold", "2"]].concat());
    assert!(bad.code == 2 && bad.stderr.contains("from 0 to 1, found 2"), "{}", bad.stderr);
}

/// A white PNG of 300 x 250 pixels.
fn image_of(path: &std::path::Path) {
    repghost_coco::files::write_picture(path, &repghost_coco::RgbImage::from_pixel(300, 250, [255; 3].into())).unwrap();
}

#[test]
fn shells_and_manuals_have_every_command() {
    let bash = run(&["completions", "bash"]);
    assert!(bash.code == 0 && bash.stdout.contains("suspects") && bash.stdout.contains("--fail-below"));
    let folder = Folder::new(&[]);
    let out = run(&["man", "--output", folder.path().to_str().unwrap()]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    for page in ["repghost-det.1", "repghost-det-train.1", "repghost-det-data-suspects.1"] {
        let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
        assert!(text.contains(".TH") && text.contains("SYNOPSIS"), "{page}");
    }
}
