//! The twelve numbers against pycocotools.
//!
//! `shared/data/eval_fixtures/*/expected_pycocotools.json` holds what pycocotools gives for the ground truth and the detections
//! beside it, in full double precision; `fixtures/metrics.json` does so for small sets with edge cases, made by
//! `tools/fixtures/coco_metrics.py`.

mod common;

use std::path::Path;

use common::shared;
use repghost_coco::{evaluate, read_detections, Dataset, DatasetOptions, Evaluation, IouType};
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

fn compare(evaluation: &Evaluation, expected: &Value, what: &str) {
    let mut compared = 0;
    for (name, value) in evaluation.numbers.named() {
        let wanted = expected["stats"][name].as_f64().unwrap();
        assert!((value - wanted).abs() <= TOLERANCE, "{what} {name}: {value} but pycocotools gives {wanted}");
    }
    for class in &evaluation.classes {
        let wanted = &expected["per_category"][class.category_id.to_string()];
        for (name, value) in [("AP", class.ap), ("AP50", class.ap50), ("AR100", class.ar100)] {
            match (value, wanted[name].as_f64()) {
                (None, None) => {}
                (Some(value), Some(wanted)) if (value - wanted).abs() <= TOLERANCE => compared += 1,
                pair => panic!("{what}, category {} {name}: {pair:?}", class.category_id),
            }
        }
    }
    assert!(compared > 0, "{what}: no category was compared");
}

fn evaluate_files(truth: &Path, detections: &Path, iou_type: IouType) -> Evaluation {
    let truth = Dataset::load(truth, &DatasetOptions::default()).unwrap();
    let detections = read_detections(detections, &truth).unwrap();
    evaluate(&truth, &detections, iou_type).unwrap()
}

#[test]
fn the_fixtures_agree_to_the_ninth_digit() {
    let sets = [
        (
            "coco2014_demo",
            "instances_val2014_100.json",
            "instances_val2014_fakebbox100_results.json",
            "instances_val2014_fakesegm100_results.json",
        ),
        ("synth_orig_ccby_val", "gt.json", "dt_bbox.json", "dt_segm.json"),
    ];
    for (set, truth, boxes, masks) in sets {
        let Some(folder) = shared(&format!("eval_fixtures/{set}")) else { continue };
        let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("expected_pycocotools.json")).unwrap()).unwrap();
        for (iou_type, detections) in [(IouType::Bbox, boxes), (IouType::Segm, masks)] {
            let evaluation = evaluate_files(&folder.join(truth), &folder.join(detections), iou_type);
            compare(&evaluation, &expected[iou_type.name()], &format!("{set} {}", iou_type.name()));
            // The curve's mean is the AP itself.
            let curve = &evaluation.curves[2];
            let mean = curve.precision.iter().sum::<f64>() / curve.precision.len() as f64;
            assert!((mean - evaluation.numbers.ap).abs() < TOLERANCE);
        }
    }
}

#[test]
fn small_sets_with_edge_cases_agree() {
    let cases: Value = serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for case in cases.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let (truth, detections) = (folder.path().join("gt.json"), folder.path().join("dt.json"));
        std::fs::write(&truth, case["gt"].to_string()).unwrap();
        std::fs::write(&detections, case["dt"].to_string()).unwrap();
        let classes = case["classes"].as_array().map(|names| names.iter().map(|n| n.as_str().unwrap().to_owned()).collect());
        let iou_type = if case["iou_type"] == "segm" { IouType::Segm } else { IouType::Bbox };
        let truth = Dataset::load(&truth, &DatasetOptions { classes, ..Default::default() }).unwrap();
        let detections = read_detections(&detections, &truth).unwrap();
        let evaluation = evaluate(&truth, &detections, iou_type).unwrap();
        compare(&evaluation, &case["expected"], name);
        assert_eq!(evaluation.classes.len(), case["expected"]["per_category"].as_object().unwrap().len());
    }
}

#[test]
fn metrics_files_have_the_twelve_keys_in_full() {
    let cases: Value = serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let truth = folder.path().join("gt.json");
    std::fs::write(&truth, cases[0]["gt"].to_string()).unwrap();
    let truth = Dataset::load(&truth, &DatasetOptions::default()).unwrap();
    let evaluation = evaluate(&truth, &[], IouType::Bbox).unwrap();
    let path = folder.path().join("out/metrics.json");
    repghost_coco::metrics::write_metrics(&path, &[evaluation]).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let back: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<&String> = back["bbox"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]);
    assert_eq!(back.as_object().unwrap().len(), 1);
    assert_eq!(back["bbox"]["AP"].as_f64(), Some(0.0));
}

#[test]
fn bad_detections_are_named() {
    let cases: Value = serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (truth, path) = (folder.path().join("gt.json"), folder.path().join("dt.json"));
    std::fs::write(&truth, cases[0]["gt"].to_string()).unwrap();
    let truth = Dataset::load(&truth, &DatasetOptions::default()).unwrap();
    let rows = [
        (r#"{"image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}"#, "image_id 99 is not among the images"),
        (r#"{"image_id": 1, "category_id": 8, "bbox": [1, 2, 3, 4], "score": 0.5}"#, "category_id 8 is not among the categories"),
        (
            r#"{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": NaN}"#,
            "score is missing, a finite number is expected (NaN",
        ),
        (r#"{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}"#, "score is missing"),
        (r#"{"image_id": 1, "category_id": 1, "bbox": [1, NaN, 3, 4], "score": 1}"#, "no finite number"),
        (r#"{"image_id": 1, "category_id": 1, "bbox": [1, 2, -3, 4], "score": 1}"#, "negative width"),
        (r#"{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3], "score": 1}"#, "3 numbers"),
        (r#"{"image_id": 1, "category_id": 1, "score": 1}"#, "neither bbox nor segmentation"),
        (
            r#"{"image_id": 1, "category_id": 1, "score": 1, "segmentation": {"size": [4, 4], "counts": [16]}}"#,
            "the run-length mask is for 4 x 4, the image is 120 x 160",
        ),
    ];
    for (row, expected) in rows {
        std::fs::write(&path, format!("[{row}]")).unwrap();
        let message = read_detections(&path, &truth).unwrap_err().to_string();
        assert!(message.contains("1 bad detections (number 1: ") && message.contains(expected), "{message}");
    }
    for (text, expected) in [("{}", "a JSON list of detections"), ("[1]", "line 1"), ("", "a JSON list")] {
        std::fs::write(&path, text).unwrap();
        let message = read_detections(&path, &truth).unwrap_err().to_string();
        assert!(message.contains("is not a COCO detections file") && message.contains(expected), "{message}");
    }
}

#[test]
fn detections_survive_the_way_to_disk_and_back() {
    let cases: Value = serde_json::from_str(include_str!("fixtures/metrics.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let case = cases.as_array().unwrap().iter().find(|case| case["name"] == "masks beside boxes").unwrap();
    let (truth, path) = (folder.path().join("gt.json"), folder.path().join("dt.json"));
    std::fs::write(&truth, case["gt"].to_string()).unwrap();
    std::fs::write(&path, case["dt"].to_string()).unwrap();
    let truth = Dataset::load(&truth, &DatasetOptions::default()).unwrap();
    let mut detections = read_detections(&path, &truth).unwrap();
    assert!(detections.iter().all(|d| d.bbox.is_some() && d.segmentation.is_some()));
    detections[0].file_name = Some("0.png".into());
    repghost_coco::write_detections(&path, &detections).unwrap();
    assert_eq!(read_detections(&path, &truth).unwrap(), detections);
    detections[1].score = f64::NAN;
    let message = repghost_coco::write_detections(&path, &detections).unwrap_err().to_string();
    assert!(message.contains("1 bad detections"), "{message}");
}

#[test]
fn an_annotation_with_id_zero_is_an_object_like_any_other() {
    // Here we differ from pycocotools on purpose: it marks a match by the object's id and reads 0 as "no match", so that this
    // perfect result gets AP 0.2525 there, and 1 with ids from 1.
    let object =
        |id: i32, x: i32| format!(r#"{{"id": {id}, "image_id": 1, "category_id": 1, "bbox": [{x}, 10, 20, 20], "area": 400}}"#);
    let found =
        |x: i32, score: f64| format!(r#"{{"image_id": 1, "category_id": 1, "bbox": [{x}, 10, 20, 20], "score": {score}}}"#);
    let folder = tempfile::tempdir().unwrap();
    let (truth, path) = (folder.path().join("gt.json"), folder.path().join("dt.json"));
    let gt = format!(
        r#"{{"images": [{{"id": 1, "file_name": "a", "height": 100, "width": 100}}], "annotations": [{}, {}],
            "categories": [{{"id": 1, "name": "a"}}]}}"#,
        object(0, 10),
        object(1, 40)
    );
    std::fs::write(&truth, gt).unwrap();
    std::fs::write(&path, format!("[{}, {}]", found(10, 0.9), found(40, 0.8))).unwrap();
    let numbers = evaluate_files(&truth, &path, IouType::Bbox).numbers;
    assert!((numbers.ap - 1.0).abs() < TOLERANCE, "{}", numbers.ap);
}
