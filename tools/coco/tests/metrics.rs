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
