//! COCO annotation files: what loads is what the check lets pass.

#![no_main]

use libfuzzer_sys::fuzz_target;
use repghost_coco::check::{check, ImageCheck};
use repghost_coco::{Dataset, DatasetOptions, OnBadAnnotation};

fuzz_target!(|bytes: &[u8]| {
    let path = repghost_fuzz::file("a.json", bytes);
    let strict = Dataset::load(&path, &DatasetOptions::default());
    let drop = DatasetOptions { on_bad_annotation: OnBadAnnotation::Drop, ..DatasetOptions::default() };
    let lenient = Dataset::load(&path, &drop);
    let report = check(&path, None, ImageCheck::Header).expect("the file is there");
    match (&strict, &lenient) {
        (Ok(_), Err(error)) => panic!("refused although bad annotations are to be dropped: {error}"),
        (Ok(set), Ok(same)) => {
            assert_eq!(set.len(), same.len());
            assert!(!report.has_errors(), "it loads, and the check finds errors: {:?}", report.findings);
            for index in 0..set.len() {
                let image = &set.images[index];
                for (_, [x1, y1, x2, y2]) in set.training_objects(index) {
                    assert!(0.0 <= x1 && x1 < x2 && x2 <= image.width as f32, "{x1} {x2}");
                    assert!(0.0 <= y1 && y1 < y2 && y2 <= image.height as f32, "{y1} {y2}");
                }
            }
        }
        (Err(error), _) => repghost_fuzz::message(error),
    }
});
