//! `repghost-det data …` and `eval` on files, as their users see them.

mod common;

use common::Folder;
use serde_json::Value;

/// One image with two objects of one of two classes.
const TRUTH: &str = r#"{
    "images": [{"id": 5, "file_name": "a.png", "width": 100, "height": 100}],
    "annotations": [
        {"id": 1, "image_id": 5, "category_id": 7, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0,
         "segmentation": [[10, 10, 30, 10, 30, 30, 10, 30]]},
        {"id": 2, "image_id": 5, "category_id": 7, "bbox": [60, 60, 20, 20], "area": 400, "iscrowd": 0,
         "segmentation": [[60, 60, 80, 60, 80, 80, 60, 80]]}],
    "categories": [{"id": 7, "name": "dog"}, {"id": 9, "name": "cat"}]}"#;
const FOUND: &str = r#"[{"image_id": 5, "category_id": 7, "bbox": [10, 10, 20, 20], "score": 0.9}]"#;

#[test]
fn shapes_are_written_counted_and_clean() {
    let folder = Folder::new(&[]);
    let ran = folder.run(&["data", "shapes", "--output", "set", "--train", "6", "--val", "2", "--size", "128", "--seed", "3"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().count(), 2);
    let stats = folder.run(&["data", "stats", "--annotations", "set/annotations/instances_train.json", "--json"]);
    let stats: Value = serde_json::from_str(&stats.stdout).unwrap();
    assert_eq!(stats["images"], 6);
    assert_eq!(stats["classes"].as_array().unwrap().len(), 5);
    assert_eq!(stats["objects"], stats["with_mask"]);
    assert!(folder.path().join("set/val/000001.png").is_file());
    let again = folder.run(&["data", "shapes", "--output", "two", "--train", "6", "--val", "0", "--size", "128", "--seed", "3"]);
    assert_eq!(again.code, 0);
    let read = |path: &str| std::fs::read(folder.path().join(path)).unwrap();
    assert_eq!(read("set/train/000004.png"), read("two/train/000004.png"));
    assert_eq!(read("set/annotations/instances_train.json"), read("two/annotations/instances_train.json"));
    let small = folder.run(&["data", "shapes", "--output", "set", "--size", "10"]);
    assert_eq!(small.code, 2);
    assert!(small.stderr.contains("64 to 4096"), "{}", small.stderr);
}

/// The objects of built-in pictures, as an image folder: one file an object, below its class.
#[test]
fn crops_are_an_image_folder() {
    let folder = Folder::new(&[]);
    folder.run(&["data", "shapes", "--output", "set", "--train", "6", "--val", "0", "--size", "128"]);
    let set = ["--annotations", "set/annotations/instances_train.json", "--images", "set/train", "--output", "crops"];
    let crops = |more: &[&str]| folder.run(&[&["data", "crops"], &set[..], more].concat());
    let ran = crops(&["--min-size", "0"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let stats = folder.run(&["data", "stats", "--annotations", "set/annotations/instances_train.json", "--json"]);
    let stats: Value = serde_json::from_str(&stats.stdout).unwrap();
    for class in stats["classes"].as_array().unwrap() {
        let files = std::fs::read_dir(folder.path().join("crops/train").join(class["name"].as_str().unwrap()));
        assert_eq!(files.map_or(0, Iterator::count) as u64, class["objects"].as_u64().unwrap(), "{class}");
    }
    // An old folder would mix with the new one.
    let again = crops(&[]);
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("is there already and not empty"), "{}", again.stderr);
    let large = crops(&["--name", "val", "--min-size", "40", "--keep-shape"]);
    assert_eq!(large.code, 0);
    assert!(large.stdout.contains("boxes below 40 px were left out"), "{}", large.stdout);
    for (wrong, text) in
        [(["--name", "../x"], "the name of a subfolder"), (["--margin", "9"], "margin: expected a number from 0 to 4")]
    {
        let ran = crops(&wrong);
        assert!(ran.code == 2 && ran.stderr.contains(text), "{}", ran.stderr);
    }
}

#[test]
fn stats_name_classes_and_leave_bad_records_out() {
    let folder = Folder::new(&[("a.json", TRUTH), ("bad.json", &TRUTH.replace("[60, 60, 20, 20]", "[60, 60, -2, 20]"))]);
    let ran = folder.run(&["data", "stats", "--annotations", "a.json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("objects      2 (2 with a mask), 0 crowds"), "{}", ran.stdout);
    assert!(ran.stdout.lines().any(|line| line.split_whitespace().eq(["7", "dog", "2", "100.0", "%", "1", "2", "0", "0", "0"])));
    let bad = folder.run(&["data", "stats", "--annotations", "bad.json", "--json"]);
    assert_eq!((bad.code, serde_json::from_str::<Value>(&bad.stdout).unwrap()["objects"].as_u64()), (0, Some(1)));
    assert!(bad.stderr.contains("1 bad annotations are left out"), "{}", bad.stderr);
    let unknown = folder.run(&["data", "stats", "--annotations", "a.json", "--classes", "dgo"]);
    assert_eq!(unknown.code, 2);
    assert_eq!(unknown.stderr.lines().count(), 1);
    assert!(unknown.stderr.contains(r#"did you mean "dog"?"#), "{}", unknown.stderr);
    let missing = folder.run(&["data", "stats", "--annotations", "nowhere.json"]);
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("nowhere.json: cannot be read"), "{}", missing.stderr);
}

#[test]
fn eval_on_files_prints_tables_and_writes_metrics() {
    let folder = Folder::new(&[("a.json", TRUTH), ("found.json", FOUND)]);
    let ran = folder.run(&["eval", "--annotations", "a.json", "--detections", "found.json", "--output", "out"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    // One of two objects is found: precision 1 up to recall 0.5, 51 of 101 points.
    assert!(ran.stdout.contains("0.5050"), "{}", ran.stdout);
    let written: Value = serde_json::from_slice(&std::fs::read(folder.path().join("out/metrics.json")).unwrap()).unwrap();
    assert!((written["bbox"]["AP"].as_f64().unwrap() - 51.0 / 101.0).abs() < 1e-12, "{written}");
    assert_eq!(written["bbox"]["APl"], -1.0);
    assert!(written["segm"].is_null());

    // A box that stands for its mask is exactly the square object.
    let both = folder.run(&["eval", "--annotations", "a.json", "--detections", "found.json", "--iou-type", "segm,bbox"]);
    assert_eq!(both.code, 0, "{}", both.stderr);
    let last: Vec<&str> = both.stdout.lines().rev().take(2).collect();
    assert_eq!(last[0].trim_start_matches("segm"), last[1].trim_start_matches("bbox"));
    let other = folder.run(&["eval", "--annotations", "a.json", "--detections", "found.json", "--classes", "cat"]);
    assert_eq!(other.code, 0);
    assert!(other.stderr.contains("no detections of the evaluated classes"), "{}", other.stderr);
}

#[test]
fn eval_refuses_what_it_cannot_use_in_one_line() {
    let alien = FOUND.replace("\"image_id\": 5", "\"image_id\": 6");
    let folder = Folder::new(&[("a.json", TRUTH), ("alien.json", &alien), ("list.json", "[1, 2, 3]"), ("found.json", FOUND)]);
    for (annotations, detections, expected) in [
        ("a.json", "alien.json", "image_id 6 is not among the images"),
        ("a.json", "a.json", "a JSON list of detections is expected"),
        ("list.json", "found.json", "it is a list"),
        ("a.json", "none.json", "none.json: cannot be read"),
    ] {
        let ran = folder.run(&["eval", "--annotations", annotations, "--detections", detections]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{detections}");
        assert!(ran.stderr.lines().count() == 1 && ran.stderr.contains(expected), "{}", ran.stderr);
    }
}

#[test]
fn check_lists_every_problem_with_its_records() {
    let bad = TRUTH.replace("[60, 60, 20, 20]", "[60, 60, -2, 20]").replace("\"iscrowd\": 0", "\"iscrowd\": false");
    let folder = Folder::new(&[("a.json", TRUTH), ("bad.json", &bad), ("images/b.txt", "")]);
    let clean = folder.run(&["data", "check", "--annotations", "a.json"]);
    assert_eq!((clean.code, clean.stderr.as_str()), (0, ""));
    assert_eq!(clean.stdout, "a.json: 1 image, 2 annotations, 2 categories: 0 errors, 0 warnings, 0 notes\n");

    let ran = folder.run(&["data", "check", "--annotations", "bad.json", "--images", "images"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (2, "error: bad.json: 2 errors\n"));
    for part in [
        "error    bbox-negative-size       annotation 2, image 5: bbox [60.0, 60.0, -2.0, 20.0]",
        "error    file-missing             image 5 (a.png): the file is missing",
        "note     iscrowd-bool             annotation 1, image 5",
        "2 errors, 0 warnings, 2 notes",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} not in\n{}", ran.stdout);
    }
    let json = folder.run(&["data", "check", "--annotations", "bad.json", "--json"]);
    let report: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, report["errors"].as_u64(), report["notes"].as_u64()), (2, Some(1), Some(2)));
    let first = report["findings"].as_array().unwrap().iter().find(|f| f["severity"] == "error").unwrap();
    assert_eq!((first["code"].as_str(), first["annotation_id"].as_i64()), (Some("bbox-negative-size"), Some(2)));

    let nowhere = folder.run(&["data", "check", "--annotations", "a.json", "--images", "nowhere"]);
    assert_eq!((nowhere.code, nowhere.stderr.as_str()), (2, "error: nowhere: is no folder of images\n"));
}

#[test]
fn browse_draws_a_sheet_of_augmented_samples() {
    let config = "data: {source: shapes, shapes: {train_images: 9, val_images: 3}, augment: {resize: {size: 128}}}\n";
    let folder = Folder::new(&[("e.yaml", config)]);
    let sheet = |name: &str, more: &[&str]| {
        let ran = folder.run(&[&["data", "browse", "e.yaml", "--output", name, "--count", "4", "--cell", "128"], more].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", ran.stdout);
        (ran.stdout, std::fs::read(folder.path().join(name)).unwrap())
    };
    let (said, first) = sheet("out/a.png", &[]);
    assert_eq!(said.trim(), "4 of 9 images of train: out/a.png");
    // PNG keeps width and height in bytes 16 to 24: four pictures of 128 in a row, under their captions.
    assert_eq!(u32::from_be_bytes(first[16..20].try_into().unwrap()), 8 + 4 * (128 + 8));
    assert_eq!(sheet("b.png", &[]).1, first);
    assert_ne!(sheet("c.png", &["--epoch", "1"]).1, first);
    assert_eq!(sheet("d.png", &["--split", "val"]).0.trim(), "3 of 3 images of val: d.png");
    let beyond = folder.run(&["data", "browse", "e.yaml", "--output", "x.png", "--skip", "9"]);
    assert_eq!((beyond.code, beyond.stderr.lines().count()), (2, 1), "{}", beyond.stderr);
    assert!(!folder.path().join("x.png").exists());
}
