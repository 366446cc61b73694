//! Merging, splitting, converting: counts by hand, and what comes out is read again.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use repghost_coco::edit::{convert, merge, split, Document, Grouping, SplitOptions, Target};
use repghost_coco::{Dataset, DatasetOptions, OnBadAnnotation, Place};
use serde_json::{json, Value};

fn written(folder: &Path, name: &str, value: &Value) -> Document {
    let path = folder.join(name);
    std::fs::write(&path, value.to_string()).unwrap();
    read(&path, None)
}

fn read(path: &Path, images: Option<&Path>) -> Document {
    Document::read(&Place { annotations: path, images, split: None }, OnBadAnnotation::Error).unwrap()
}

fn image(id: i64, name: &str) -> Value {
    json!({"id": id, "file_name": name, "width": 100, "height": 80, "license": 1, "camera": "x"})
}

fn object(id: i64, image: i64, category: i64) -> Value {
    json!({
        "id": id, "image_id": image, "category_id": category, "bbox": [1.0, 2.0, 30.0, 40.0], "area": 1200.0, "iscrowd": 0,
        "segmentation": [[1.0, 2.0, 31.0, 2.0, 31.0, 42.0, 1.0, 42.0]], "attributes": {"occluded": true},
    })
}

fn set(images: Vec<Value>, annotations: Vec<Value>, categories: &[(i64, &str)]) -> Value {
    let categories: Vec<Value> = categories.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
    json!({
        "info": {"year": 2024}, "licenses": [{"id": 1, "name": "CC BY"}],
        "images": images, "annotations": annotations, "categories": categories,
    })
}

#[test]
fn merged_sets_keep_names_and_get_new_ids_where_theirs_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let a = set(vec![image(1, "a.jpg"), image(2, "b.jpg")], vec![object(1, 1, 7), object(2, 2, 7)], &[(7, "cat")]);
    let mut b = set(
        vec![image(2, "c.jpg"), image(9, "a.jpg")],
        vec![object(1, 2, 1), object(2, 9, 2), object(30, 9, 1)],
        &[(1, "dog"), (2, "cat")],
    );
    b["licenses"] = json!([{"id": 1, "name": "CC0"}]);
    let merged = merge(vec![written(folder.path(), "a.json", &a), written(folder.path(), "b.json", &b)]).unwrap();
    assert_eq!((merged.shared_images, merged.renumbered), (1, [1, 2]));
    assert_eq!(merged.added_classes, ["dog"]);
    let out = folder.path().join("out.json");
    merged.document.write(&out).unwrap();
    let value: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    let names: HashMap<i64, &str> = value["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| (i["id"].as_i64().unwrap(), i["file_name"].as_str().unwrap()))
        .collect();
    assert_eq!(names, HashMap::from([(1, "a.jpg"), (2, "b.jpg"), (3, "c.jpg")]));
    let classes: HashMap<i64, &str> = value["categories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["id"].as_i64().unwrap(), c["name"].as_str().unwrap()))
        .collect();
    let objects: Vec<(&str, &str)> = value["annotations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (names[&a["image_id"].as_i64().unwrap()], classes[&a["category_id"].as_i64().unwrap()]))
        .collect();
    assert_eq!(objects, [("a.jpg", "cat"), ("b.jpg", "cat"), ("c.jpg", "dog"), ("a.jpg", "cat"), ("a.jpg", "dog")]);
    let ids: HashSet<i64> = value["annotations"].as_array().unwrap().iter().map(|a| a["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), 5);
    // What this project does not read is kept, and licences do not mix.
    assert_eq!(value["annotations"][4]["attributes"], json!({"occluded": true}));
    assert_eq!(value["images"][2]["camera"], "x");
    assert_eq!(value["licenses"], json!([{"id": 1, "name": "CC BY"}, {"id": 2, "name": "CC0"}]));
    assert_eq!(value["images"][2]["license"], 2);
    assert_eq!(value["info"]["year"], 2024);
    Dataset::load(&out, &DatasetOptions::default()).unwrap();
}

#[test]
fn folders_become_part_of_the_names() {
    let folder = tempfile::tempdir().unwrap();
    let value = set(vec![image(1, "x.jpg")], vec![object(1, 1, 1)], &[(1, "cat")]);
    let sets: Vec<Document> = ["one", "two"]
        .iter()
        .map(|name| {
            let images = folder.path().join(name).join("images");
            std::fs::create_dir_all(&images).unwrap();
            let path = folder.path().join(format!("{name}.json"));
            std::fs::write(&path, value.to_string()).unwrap();
            read(&path, Some(&images))
        })
        .collect();
    let merged = merge(sets.clone()).unwrap();
    assert_eq!(merged.shared_images, 0);
    assert_eq!(merged.document.root.as_deref(), Some(folder.path().canonicalize().unwrap().as_path()));
    let names: Vec<&str> = merged.document.images.iter().map(|i| i["file_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one/images/x.jpg", "two/images/x.jpg"]);
    let mixed = vec![sets[0].clone(), Document { root: None, ..sets[1].clone() }];
    assert!(merge(mixed).unwrap_err().to_string().contains("name all or none"));
    let mut other = sets[0].clone();
    other.images[0].insert("width".into(), 50.into());
    let error = merge(vec![sets[0].clone(), other]).unwrap_err().to_string();
    assert!(
        error.contains("images/x.jpg is 50x80 pixels here and 100x80 in a set before it") || error.contains("x.jpg is 50x80"),
        "{error}"
    );
}

/// 100 images of 20 clips; class 1 is everywhere, class 2 in 4 clips, class 3 in one image.
fn clips() -> Value {
    let images: Vec<Value> = (0..100).map(|i| image(i + 1, &format!("clip{}_{:04}.jpg", i / 5, i % 5))).collect();
    let mut annotations: Vec<Value> = (0..100).map(|i| object(i + 1, i + 1, 1)).collect();
    annotations.extend((0..20).map(|i| object(200 + i, (i / 5) * 25 + i % 5 + 1, 2)));
    annotations.push(object(500, 50, 3));
    set(images, annotations, &[(1, "common"), (2, "rare"), (3, "single")])
}

fn options(by: &str, stratify: bool, seed: u64) -> SplitOptions {
    SplitOptions { val: 0.25, grouping: Grouping::parse(by).unwrap(), stratify, seed }
}

fn names(document: &Document) -> HashSet<String> {
    document.images.iter().map(|i| i["file_name"].as_str().unwrap().to_string()).collect()
}

#[test]
fn groups_never_cross_and_shares_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let all = written(folder.path(), "all.json", &clips());
    for seed in 0..20 {
        for (by, stratify) in [("video", false), ("video", true), ("image", true), ("regex:^(clip[0-9]+)_", true)] {
            let parts = split(&all, &options(by, stratify, seed)).unwrap();
            let (train, val) = (names(&parts.train), names(&parts.val));
            assert_eq!((train.len(), val.len()), (75, 25), "{by} {stratify} {seed}");
            assert!(train.is_disjoint(&val));
            assert_eq!(parts.train.annotations.len() + parts.val.annotations.len(), 121);
            if by != "image" {
                let clip = |names: &HashSet<String>| -> HashSet<String> {
                    names.iter().map(|n| n.split_once('_').unwrap().0.to_string()).collect()
                };
                assert!(clip(&train).is_disjoint(&clip(&val)));
                assert_eq!(parts.groups, [15, 5]);
            }
            if stratify {
                // A quarter of the 20 images with the rare class: one of its four clips.
                assert_eq!(parts.classes[1].images, [15, 5], "{by} {seed}");
            }
        }
    }
    let one = |seed| names(&split(&all, &options("video", true, seed)).unwrap().val);
    assert_eq!(one(3), one(3));
    assert!((0..8).any(|seed| one(seed) != one(0)));
}

#[test]
fn one_group_cannot_be_split_and_strays_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let all = written(folder.path(), "all.json", &clips());
    let error = split(&all, &options("folder", false, 0)).unwrap_err().to_string();
    assert!(error.contains("all 100 images are one group"), "{error}");
    let parts = split(&all, &options("regex:^(clip1)_", false, 0)).unwrap();
    assert_eq!((parts.without_group.len(), parts.groups.iter().sum::<usize>()), (95, 96));
    // Whatever the share, neither side is empty.
    let parts = split(&all, &SplitOptions { val: 0.001, ..options("video", false, 0) }).unwrap();
    assert_eq!(parts.groups, [19, 1]);
}

#[test]
fn written_formats_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let value =
        set(vec![image(4, "a.png"), image(9, "b.png")], vec![object(1, 4, 7), object(2, 4, 3)], &[(3, "dog"), (7, "cat")]);
    let document = written(folder.path(), "a.json", &value);
    let images = folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    for name in ["a.png", "b.png"] {
        image::RgbImage::new(100, 80).save(images.join(name)).unwrap();
    }
    for (target, output, given, lost) in [
        (Target::Yolo, "yolo", "yolo/labels", "2 outlines"),
        (Target::Voc, "voc", "voc/Annotations", "2 outlines"),
        (Target::Cvat, "cvat.xml", "cvat.xml", ""),
        (Target::Coco, "coco.json", "coco.json", ""),
    ] {
        let output = folder.path().join(output);
        let out = convert(&document, target, &output).unwrap();
        assert_eq!((out.images, out.lost.join("; ").starts_with(lost)), (2, true), "{target:?}: {:?}", out.lost);
        let given = folder.path().join(given);
        let (back, _) =
            Dataset::open(&Place { annotations: &given, images: Some(&images), split: None }, &DatasetOptions::default())
                .unwrap();
        let with_objects = (0..back.len()).find(|&i| !back.annotations(i).is_empty()).unwrap();
        assert_eq!(back.images[with_objects].file_name, "a.png");
        let mut objects: Vec<(String, [i64; 4])> = back
            .annotations(with_objects)
            .iter()
            .map(|a| (back.classes.name(a.label), a.bbox.map(|v| v.round() as i64)))
            .collect();
        objects.sort();
        assert_eq!(objects, [("cat".into(), [1, 2, 30, 40]), ("dog".into(), [1, 2, 30, 40])], "{target:?}");
        if target != Target::Coco {
            let again = convert(&document, target, &output).unwrap_err().to_string();
            assert!(again.contains("is there already"), "{again}");
        }
    }
    let mut nested = document.clone();
    nested.images[0].insert("file_name".into(), "sub/a.png".into());
    let output = folder.path().join("nested");
    assert!(convert(&nested, Target::Yolo, &output).unwrap_err().to_string().contains("sub/a.png is in a folder"));
    assert!(!output.exists());
}

#[test]
fn bad_annotations_are_refused_or_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut value = set(vec![image(1, "a.png")], vec![object(1, 1, 1), object(2, 1, 1)], &[(1, "cat")]);
    value["annotations"][1]["bbox"] = json!([1, 2, -3, 4]);
    let path = folder.path().join("bad.json");
    std::fs::write(&path, value.to_string()).unwrap();
    let place = Place { annotations: &path, images: None, split: None };
    assert!(Document::read(&place, OnBadAnnotation::Error).unwrap_err().to_string().contains("1 bad annotations"));
    let document = Document::read(&place, OnBadAnnotation::Drop).unwrap();
    assert_eq!((document.annotations.len(), document.left_out.0), (1, 1));
}
