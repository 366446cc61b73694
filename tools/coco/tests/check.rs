//! Every way a file can be wrong, one row each. The files are `shared/data/edge_cases/bad_json/*`, whose names say what is wrong.

mod common;

use std::path::Path;

use common::shared;
use repghost_coco::annotations::Severity;
use repghost_coco::check::{check, CheckReport, ImageCheck};

/// File, then the findings by code: `!` is an error, `?` a warning, the rest notes.
const EXPECTED: [(&str, &[&str]); 19] = [
    ("area_missing", &["area-missing"]),
    ("bbox_negative_size", &["!bbox-negative-size"]),
    ("bbox_three_numbers", &["!bbox-length"]),
    ("category_id_zero", &["category-id-zero"]),
    ("duplicate_category_id", &["!duplicate-category-id"]),
    ("empty_dataset", &["!no-images", "!no-categories", "?no-annotations"]),
    ("float_ids", &["?float-id"]),
    ("images_no_annotations", &["?no-annotations"]),
    ("iscrowd_bool", &["iscrowd-bool"]),
    ("missing_file", &["!file-missing"]),
    ("no_annotations_key", &["?no-list"]),
    ("not_object", &["!not-coco"]),
    ("path_traversal", &["!path-leaves-folder"]),
    ("rle_garbage_string", &["!rle-broken"]),
    ("rle_negative", &["!rle-broken"]),
    ("rle_wrong_sum", &["!rle-broken"]),
    ("size_mismatch", &["!size-mismatch"]),
    ("truncated", &["!not-coco"]),
    ("unknown_image_id", &["!unknown-image-id"]),
];

fn codes(report: &CheckReport) -> Vec<String> {
    let mark = |severity| match severity {
        Severity::Error => "!",
        Severity::Warning => "?",
        Severity::Note => "",
    };
    report.findings.iter().map(|finding| format!("{}{}", mark(finding.severity), finding.code)).collect()
}

#[test]
fn every_bad_file_gets_its_finding() {
    let Some(folder) = shared("edge_cases") else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.join("bad_json")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (_, expected) = EXPECTED.iter().find(|(file, _)| *file == name).unwrap_or_else(|| panic!("{name} has no row"));
        let report = check(&path, Some(&folder.join("images")), ImageCheck::Decode).unwrap();
        assert_eq!(codes(&report), *expected, "{name}: {:?}", report.findings);
        assert_eq!(report.has_errors(), expected.iter().any(|code| code.starts_with('!')));
        seen += 1;
    }
    assert_eq!(seen, EXPECTED.len());
}

#[test]
fn findings_name_their_records() {
    let Some(folder) = shared("edge_cases") else { return };
    let first = |name: &str| {
        let report = check(&folder.join("bad_json").join(name), Some(&folder.join("images")), ImageCheck::Header).unwrap();
        report.findings[0].to_string()
    };
    assert_eq!(
        first("bbox_negative_size.json"),
        "annotation 1, image 1: bbox [10.0, 10.0, -5.0, 20.0] has a negative width or height (is it x1, y1, x2, y2?)"
    );
    assert_eq!(first("unknown_image_id.json"), "annotation 1, image 99: image_id 99 is not among the images");
    assert_eq!(first("missing_file.json"), "image 1 (nope.jpg): the file is missing");
    assert_eq!(
        first("size_mismatch.json"),
        "image 1 (good.jpg): the annotations give 200 x 120, the file is 160 x 120 (width x height)"
    );
    assert_eq!(
        first("rle_wrong_sum.json"),
        "annotation 1, image 1: the run-length mask is broken: its runs sum to 15, but 120 x 160 is 19200"
    );
    assert!(first("truncated.json").contains("it ends too early"), "{}", first("truncated.json"));
    assert!(first("not_object.json").contains("it is a list"), "{}", first("not_object.json"));
}

#[test]
fn broken_images_are_named_one_by_one() {
    let Some(folder) = shared("edge_cases") else { return };
    let broken = folder.join("annotations/broken_images.json");
    let report = check(&broken, Some(&folder.join("images")), ImageCheck::Decode).unwrap();
    let unreadable: Vec<i64> =
        report.findings.iter().filter(|f| f.code == "image-unreadable").filter_map(|f| f.image_id).collect();
    assert_eq!(unreadable, [1, 2, 3, 4, 5, 6, 7, 8], "{:?}", report.findings);
}

#[test]
fn good_sets_give_nothing_or_what_is_known() {
    // Set, images, and every code that may come, with its number.
    type Known = &'static [(&'static str, usize)];
    let sets: [(&str, &str, Known); 7] = [
        ("bccd/annotations/instances_train.json", "bccd/train", &[]),
        ("bccd/annotations/instances_val.json", "bccd/val", &[]),
        ("nuclei/annotations/instances_train.json", "nuclei/train", &[]),
        ("nuclei/annotations/instances_val.json", "nuclei/val", &[]),
        ("coco_orig_ccby/annotations/instances_train.json", "coco_orig_ccby/train", &[]),
        ("coco_orig_ccby/annotations/instances_val.json", "coco_orig_ccby/val", &[]),
        ("edge_cases/annotations/exif_upright.json", "edge_cases/images", &[("size-turned-by-exif", 4), ("exif-orientation", 3)]),
    ];
    for (annotations, images, known) in sets {
        let (Some(annotations), Some(images)) = (shared(annotations), shared(images)) else { continue };
        let report = check(&annotations, Some(&images), ImageCheck::Header).unwrap();
        expect(&report, known);
        assert_eq!(report.has_errors(), known.iter().any(|(code, _)| *code == "size-turned-by-exif"));
    }
    // What the edge cases were made to contain.
    let Some(folder) = shared("edge_cases") else { return };
    let report = check(&folder.join("annotations/edge.json"), Some(&folder.join("images")), ImageCheck::Decode).unwrap();
    expect(
        &report,
        &[
            ("polygon-numbers", 1),
            ("bbox-zero-size", 3),
            ("bbox-outside", 1),
            ("bbox-crosses-border", 2),
            ("mask-empty", 5),
            ("exif-orientation", 7),
        ],
    );
}

fn expect(report: &CheckReport, known: &[(&str, usize)]) {
    let file: &Path = &report.annotation_file;
    for (code, count) in known {
        let found: Vec<_> = report.findings.iter().filter(|finding| finding.code == *code).collect();
        assert_eq!(found.len(), *count, "{}: {code}: {found:?}", file.display());
    }
    let other: Vec<_> = report.findings.iter().filter(|finding| !known.iter().any(|(code, _)| *code == finding.code)).collect();
    assert!(other.is_empty(), "{}: {other:?}", file.display());
}
