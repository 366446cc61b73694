//! Annotation files as they come: odd ids, missing fields, class choices, bad records, real sets.

mod common;

use common::shared;
use repghost_coco::{AnnotationError, Dataset, DatasetOptions, LabelMode, OnBadAnnotation, Segmentation};

/// Loads a file made of the three lists.
fn load(images: &str, annotations: &str, categories: &str, options: &DatasetOptions) -> Result<Dataset, AnnotationError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.json");
    std::fs::write(&path, format!(r#"{{"images": [{images}], "annotations": [{annotations}], "categories": [{categories}]}}"#))
        .unwrap();
    Dataset::load(&path, options)
}

const IMAGE: &str = r#"{"id": 9007199254740993, "file_name": "a.jpg", "width": 20, "height": 10}"#;
const CATEGORIES: &str = r#"{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 90, "name": "owl"}"#;

fn object(fields: &str) -> String {
    format!(r#"{{"id": 1, "image_id": 9007199254740993, {fields}}}"#)
}

#[test]
fn ids_are_exact_and_missing_fields_are_computed() {
    let objects = [
        object(r#""category_id": 3, "bbox": [1, 1, 4, 2]"#),
        object(r#""category_id": 3, "bbox": [1, 1, 4, 2], "segmentation": [[1, 1, 5, 1, 5, 3]]"#),
        object(r#""category_id": 90, "area": 7, "iscrowd": true, "segmentation": {"size": [10, 20], "counts": [0, 200]}"#),
    ];
    let set = load(IMAGE, &objects.join(","), CATEGORIES, &DatasetOptions::default()).unwrap();
    assert_eq!(set.images[0].id, 9_007_199_254_740_993);
    assert_eq!((set.images[0].height, set.images[0].width), (10, 20));
    let found = set.annotations(0);
    assert_eq!((found[0].area, found[0].iscrowd, found[0].segmentation.is_none()), (8.0, false, true));
    // pycocotools: area of frPyObjects([[1, 1, 5, 1, 5, 3]], 10, 20) is 4.
    assert_eq!(found[1].area, 4.0);
    assert_eq!((found[2].bbox, found[2].area, found[2].iscrowd), ([0.0, 0.0, 20.0, 10.0], 7.0, true));
    assert_eq!(set.training_objects(0).count(), 2);
    assert_eq!(set.report.crowds, 1);
}

#[test]
fn classes_are_numbered_by_id_by_wish_or_as_categories() {
    let objects = object(r#""category_id": 90, "bbox": [0, 0, 4, 4]"#);
    let with = |classes: Option<&[&str]>, labels| {
        let classes = classes.map(|names| names.iter().map(|n| n.to_string()).collect());
        load(IMAGE, &objects, CATEGORIES, &DatasetOptions { classes, labels, ..Default::default() })
    };
    let all = with(None, LabelMode::Contiguous).unwrap();
    assert_eq!(all.classes.names(), ["cat", "dog", "owl"]);
    assert_eq!((all.annotations(0)[0].label, all.classes.num_labels()), (2, 3));

    let some = with(Some(&["owl", "cat"]), LabelMode::Contiguous).unwrap();
    assert_eq!((some.annotations(0)[0].label, some.classes.num_labels()), (0, 2));
    assert_eq!(some.classes.by_label(1).unwrap().category_id, 3);

    let ids = with(None, LabelMode::CategoryIds).unwrap();
    assert_eq!((ids.annotations(0)[0].label, ids.classes.num_labels(), ids.classes.len()), (90, 91, 3));

    let other = with(Some(&["dog"]), LabelMode::Contiguous).unwrap();
    assert_eq!((other.annotations(0).len(), other.report.other_classes), (0, 1));

    let message = with(Some(&["dgo"]), LabelMode::Contiguous).unwrap_err().to_string();
    assert!(message.contains(r#"class "dgo" is not among its categories [dog, cat, owl]; did you mean "dog"?"#), "{message}");
}

#[test]
fn nothing_left_says_why() {
    let objects = object(r#""category_id": 90, "bbox": [0, 0, 4, 4], "area": 16, "iscrowd": 1"#);
    let options = DatasetOptions { classes: Some(vec!["owl".into()]), keep_empty_images: false, ..Default::default() };
    let message = load(IMAGE, &objects, CATEGORIES, &options).unwrap_err().to_string();
    for part in ["0 of 1 images left", "[dog, cat, owl]", "wanted: [owl]", "1 crowds", "1 images without an object"] {
        assert!(message.contains(part), "{part:?} not in {message}");
    }
}

#[test]
fn bad_annotations_are_refused_or_dropped() {
    let objects = [
        object(r#""category_id": 3, "bbox": [1, 1, -4, 2]"#).replace("\"id\": 1,", "\"id\": 11,"),
        object(r#""category_id": 3, "bbox": [1, NaN, 4, 2]"#).replace("\"id\": 1,", "\"id\": 12,"),
        object(r#""category_id": 4, "bbox": [1, 1, 4, 2]"#).replace("\"id\": 1,", "\"id\": 13,"),
        object(r#""category_id": 3, "bbox": [1, 1, 4, 2]"#).replace("9007199254740993", "5"),
        object(r#""category_id": 3, "bbox": [1, 1, 4, 2]"#),
    ];
    let mut options = DatasetOptions::default();
    let message = load(IMAGE, &objects.join(","), CATEGORIES, &options).unwrap_err().to_string();
    for part in ["4 bad annotations", "annotation 11, image 9007199254740993: bbox", "annotation 12", "annotation 13", "drop"] {
        assert!(message.contains(part), "{part:?} not in {message}");
    }
    assert_eq!(message.lines().count(), 1);
    options.on_bad_annotation = OnBadAnnotation::Drop;
    let set = load(IMAGE, &objects.join(","), CATEGORIES, &options).unwrap();
    assert_eq!((set.report.dropped, set.annotations(0).len()), (4, 1));
    assert_eq!(set.report.dropped_first.len(), 3);
}

/// Roboflow's exports have a category 0 without objects, named like the project.
#[test]
fn categories_that_are_no_classes_are_left_out() {
    let options = DatasetOptions::default();
    let objects = object(r#""category_id": 1, "bbox": [0, 0, 4, 4]"#);
    let names = |categories: &str, options: &DatasetOptions| {
        let set = load(IMAGE, &objects, categories, options).unwrap();
        (set.classes.names().join(","), set.report.warnings.len())
    };
    let root = r#"{"id": 0, "name": "cells", "supercategory": "none"}, {"id": 1, "name": "red", "supercategory": "cells"}"#;
    let namesake = r#"{"id": 0, "name": "red", "supercategory": "none"}, {"id": 1, "name": "red", "supercategory": "red"}"#;
    let own_group =
        r#"{"id": 1, "name": "person", "supercategory": "person"}, {"id": 2, "name": "car", "supercategory": "vehicle"}"#;
    assert_eq!(names(root, &options), ("red".into(), 1));
    assert_eq!(names(namesake, &options), ("red".into(), 1));
    assert_eq!(names(own_group, &options), ("person,car".into(), 0));
    // A class that is asked for is one.
    let asked = DatasetOptions { classes: Some(vec!["cells".into(), "red".into()]), ..Default::default() };
    assert_eq!(names(root, &asked), ("cells,red".into(), 0));
    let asked = DatasetOptions { classes: Some(vec!["red".into()]), ..Default::default() };
    assert_eq!(names(namesake, &asked), ("red".into(), 1));
}

#[test]
fn a_validation_set_may_lack_classes_but_not_all() {
    let objects = object(r#""category_id": 90, "bbox": [0, 0, 4, 4]"#);
    let with = |names: &[&str]| {
        let classes = Some(names.iter().map(|n| n.to_string()).collect());
        load(IMAGE, &objects, CATEGORIES, &DatasetOptions { classes, absent_classes: true, ..Default::default() })
    };
    let set = with(&["cow", "cat", "hen"]).unwrap();
    let ids: Vec<i64> = set.classes.iter().map(|class| class.category_id).collect();
    assert_eq!((ids, set.classes.names()), (vec![91, 3, 92], vec!["cow", "cat", "hen"]));
    assert_eq!((set.report.absent, set.report.not_wanted), (vec!["cow".to_string(), "hen".into()], vec![("owl".to_string(), 1)]));
    // A name in other letters was meant to be there.
    let message = with(&["Cat", "dog"]).unwrap_err().to_string();
    assert!(message.contains(r#"did you mean "cat"?"#), "{message}");
    assert!(with(&["cow", "hen"]).unwrap_err().to_string().contains("\"cow\" is not among"));
}

#[test]
fn category_ids_one_lower_are_refused_even_where_bad_records_are_dropped() {
    let objects = [2, 6, 89].map(|id| object(&format!(r#""category_id": {id}, "bbox": [0, 0, 4, 4]"#))).join(",");
    for on_bad_annotation in [OnBadAnnotation::Error, OnBadAnnotation::Drop] {
        let options = DatasetOptions { on_bad_annotation, ..Default::default() };
        let message = load(IMAGE, &objects, CATEGORIES, &options).unwrap_err().to_string();
        assert!(message.contains("category ids 2 to 89, each one lower"), "{message}");
    }
}

#[test]
fn real_sets_load() {
    let sets = [
        ("bccd/annotations/instances_train.json", 292, 3943, 3, 0),
        ("bccd/annotations/instances_val.json", 72, 945, 3, 0),
        ("nuclei/annotations/instances_train.json", 160, 3872, 1, 0),
        ("coco_orig_ccby/annotations/instances_train.json", 92, 829, 80, 9),
        ("coco_orig_ccby/annotations/instances_val.json", 66, 560, 80, 8),
    ];
    for (file, images, objects, classes, crowds) in sets {
        let Some(path) = shared(file) else { continue };
        let set = Dataset::load(&path, &DatasetOptions::default()).unwrap();
        let total: usize = (0..set.len()).map(|i| set.annotations(i).len()).sum();
        assert_eq!((set.len(), total, set.classes.len(), set.report.crowds), (images, objects, classes, crowds), "{file}");
        let masks = (0..set.len()).flat_map(|i| set.annotations(i)).filter(|a| a.segmentation != Segmentation::None).count();
        assert_eq!(masks, if file.starts_with("bccd") { 0 } else { objects }, "{file}");
    }
}
