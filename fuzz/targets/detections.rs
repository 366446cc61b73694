//! COCO results against a small ground truth, through the whole evaluation: numbers from 0 to 1, and the same after a round trip.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use repghost_coco::detections::write_detections;
use repghost_coco::{evaluate, read_detections, Dataset, DatasetOptions, IouType};

const TRUTH: &str = r#"{"images": [{"id": 1, "file_name": "a.png", "height": 12, "width": 16}, {"id": 2, "file_name": "b.png", "height": 12, "width": 16}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0, "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]]},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [6, 2, 5, 6], "area": 30, "iscrowd": 1, "segmentation": {"size": [12, 16], "counts": [50, 10, 132]}},
        {"id": 3, "image_id": 2, "category_id": 1, "bbox": [0, 0, 8, 8], "area": 64, "iscrowd": 0, "segmentation": [[0, 0, 8, 0, 8, 8]]}],
    "categories": [{"id": 1, "name": "ant"}, {"id": 2, "name": "bee"}]}"#;

fn truth() -> &'static Dataset {
    static TRUTH_SET: OnceLock<Dataset> = OnceLock::new();
    TRUTH_SET.get_or_init(|| Dataset::load(&repghost_fuzz::file("gt.json", TRUTH.as_bytes()), &DatasetOptions::default()).expect("it is valid"))
}

fuzz_target!(|bytes: &[u8]| {
    let truth = truth();
    let path = repghost_fuzz::file("dt.json", bytes);
    let found = match read_detections(&path, truth) {
        Ok(found) => found,
        Err(error) => return repghost_fuzz::message(&error),
    };
    for iou_type in [IouType::Bbox, IouType::Segm] {
        let Ok(evaluation) = evaluate(truth, &found, iou_type) else { continue };
        for (name, value) in evaluation.numbers.named() {
            assert!(value == -1.0 || (0.0..=1.0 + 1e-9).contains(&value), "{name} is {value}");
        }
        if write_detections(&path, &found).is_ok() {
            let again = read_detections(&path, truth).expect("what was written is read");
            let second = evaluate(truth, &again, iou_type).expect("as before");
            assert_eq!(evaluation.numbers.named(), second.numbers.named());
        }
    }
});
