//! YOLO, Pascal VOC, CVAT and LabelMe: small sets written here, numbers worked out by hand.

use std::path::{Path, PathBuf};

use repghost_coco::annotations::Severity;
use repghost_coco::check::{check, ImageCheck};
use repghost_coco::formats::recognise;
use repghost_coco::{Dataset, DatasetOptions, OnBadAnnotation, Place, RgbImage, Segmentation};

/// A folder with files; images are written with a size.
struct Set(tempfile::TempDir);

impl Set {
    fn new(texts: &[(&str, &str)], images: &[(&str, u32, u32)]) -> Self {
        let set = Self(tempfile::tempdir().unwrap());
        for (name, text) in texts {
            set.file(name, |path| std::fs::write(path, text).unwrap());
        }
        for (name, width, height) in images {
            set.file(name, |path| RgbImage::new(*width, *height).save(path).unwrap());
        }
        set
    }

    fn file(&self, name: &str, write: impl Fn(&Path)) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write(&path);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn open(&self, annotations: &str, split: Option<&str>, options: &DatasetOptions) -> Result<(Dataset, PathBuf), String> {
        let annotations = self.path(annotations);
        let place = Place { annotations: &annotations, images: None, split };
        let (dataset, root) = Dataset::open(&place, options).map_err(|e| e.to_string())?;
        Ok((dataset, root.expect("these formats know their images")))
    }
}

fn boxes(dataset: &Dataset, image: usize) -> Vec<(String, [f64; 4])> {
    dataset.annotations(image).iter().map(|a| (dataset.classes.name(a.label), a.bbox)).collect()
}

fn named(name: &str, bbox: [f64; 4]) -> (String, [f64; 4]) {
    (name.into(), bbox)
}

#[test]
fn yolo_with_a_data_yaml_per_split_and_an_outline() {
    let yaml = "path: .\ntrain: ../train/images\nval: valid/images\nnames: {0: cat, 1: dog}\nnc: 2\n";
    let set = Set::new(
        &[
            ("data.yaml", yaml),
            // Box: centre (0.5, 0.25) of 200 x 100, sides 0.2 and 0.5. Outline: a triangle.
            ("train/labels/a.txt", "1 0.5 0.25 0.2 0.5\n\n0 0.1 0.1 0.3 0.1 0.1 0.5\n"),
            ("valid/labels/v.txt", "0 0.5 0.5 1 1\n"),
        ],
        &[("train/images/a.png", 200, 100), ("train/images/b.jpg", 50, 40), ("valid/images/v.png", 10, 20)],
    );
    let (train, root) = set.open("data.yaml", Some("train"), &DatasetOptions::default()).unwrap();
    assert_eq!(root, set.path("train/images"));
    assert_eq!(train.classes.names(), ["cat", "dog"]);
    assert_eq!(
        train.images.iter().map(|i| (i.file_name.as_str(), i.width, i.height)).collect::<Vec<_>>(),
        [("a.png", 200, 100), ("b.jpg", 50, 40)]
    );
    assert_eq!(boxes(&train, 0), [named("dog", [80.0, 0.0, 40.0, 50.0]), named("cat", [20.0, 10.0, 40.0, 40.0])]);
    assert!(
        train.annotations(0)[0].segmentation == Segmentation::None && train.annotations(0)[1].segmentation != Segmentation::None
    );
    assert!(boxes(&train, 1).is_empty(), "an image without a label file has no objects");
    // Half of 40 x 40 pixels, as pycocotools fills a triangle, within the border's pixels.
    assert!((train.annotations(0)[1].area - 800.0).abs() <= 40.0, "{}", train.annotations(0)[1].area);
    let (val, root) = set.open("data.yaml", Some("val"), &DatasetOptions::default()).unwrap();
    assert_eq!((root, boxes(&val, 0)), (set.path("valid/images"), vec![named("cat", [0.0, 0.0, 10.0, 20.0])]));
}

#[test]
fn yolo_as_a_folder_of_labels_with_classes_above_it() {
    let set = Set::new(
        &[("classes.txt", "one\ntwo\n"), ("labels/deep/x.txt", "1.0 0.5 0.5 0.5 0.5\n"), ("labels/y.txt", "")],
        &[("images/deep/x.png", 8, 8), ("images/y.png", 4, 4)],
    );
    assert_eq!(recognise(&set.path("labels")).map(|f| f.name), Some("yolo"));
    let (dataset, _) = set.open("labels", None, &DatasetOptions::default()).unwrap();
    assert_eq!(dataset.images[0].file_name, "deep/x.png");
    assert_eq!(boxes(&dataset, 0), [named("two", [2.0, 2.0, 4.0, 4.0])]);
}

#[test]
fn bad_yolo_lines_are_named_with_file_and_line() {
    let bad =
        "0 0.5 0.5 0.5 0.5\n2 0.5 0.5 0.5 0.5\nx 0 0 1 1\n0 0.5 0.5 0.5\n0 10 20 30 40\n0 0.5 0.5 0.5 nan\n0 0.5 0.5 -0.5 0.5\n";
    let set = Set::new(&[("classes.txt", "a\nb\n"), ("labels/x.txt", bad)], &[("images/x.png", 100, 100)]);
    let report = check(&set.path("labels"), None, ImageCheck::Decode).unwrap();
    let errors: Vec<String> = report.findings.iter().filter(|f| f.severity == Severity::Error).map(ToString::to_string).collect();
    let file = set.path("labels/x.txt").display().to_string();
    let expected = [
        (2, "class 2 of 2: names go from 0 to 1"),
        (3, "class \"x\" is no number from 0"),
        (4, "3 numbers after the class; 4 for a box, or 6 or more for an outline, are expected"),
        (5, "[10.0, 20.0, 30.0, 40.0] are pixels; shares of the image's sides, 0 to 1, are expected"),
        (6, "\"nan\" is no number"),
        (7, "bbox [75.0, 25.0, -50.0, 50.0] has a negative width or height (is it x1, y1, x2, y2?)"),
    ];
    assert_eq!(errors, expected.map(|(line, text)| format!("{file}, line {line}: {text}")));
    let error = set.open("labels", None, &DatasetOptions::default()).unwrap_err();
    assert!(error.contains("6 bad annotations") && error.contains("x.txt, line 2"), "{error}");
    let drop = DatasetOptions { on_bad_annotation: OnBadAnnotation::Drop, ..Default::default() };
    let (dataset, _) = set.open("labels", None, &drop).unwrap();
    assert_eq!((dataset.report.dropped, dataset.annotations(0).len()), (6, 1));
}

#[test]
fn yolo_sets_without_names_or_images_say_what_is_missing() {
    let set = Set::new(&[("a/labels/x.txt", "0 0.5 0.5 1 1")], &[("a/images/x.png", 4, 4)]);
    let error = set.open("a/labels", None, &DatasetOptions::default()).unwrap_err();
    assert!(error.ends_with("neither data.yaml with names nor classes.txt in it or above it"), "{error}");
    let set = Set::new(&[("data.yaml", "train: nowhere\nnames: [a]\n")], &[]);
    let error = set.open("data.yaml", None, &DatasetOptions::default()).unwrap_err();
    assert!(error.contains("nowhere is not there"), "{error}");
    let set = Set::new(&[("data.yaml", "names: {0: a, 2: b}\n")], &[]);
    assert!(set.open("data.yaml", None, &DatasetOptions::default()).unwrap_err().contains("names has no entry 1"));
}

const VOC: &str = "<annotation>
  <filename>a.png</filename>
  <size><width>40</width><height>30</height><depth>3</depth></size>
  <object><name>dog</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>40</xmax><ymax>30</ymax></bndbox></object>
  <object><name>cat</name><difficult>1</difficult>
    <bndbox><xmin>11</xmin><ymin>6</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object>
  <object><name>cat</name></object>
</annotation>
";

#[test]
fn pascal_voc_counts_pixels_from_one() {
    let set = Set::new(&[("Annotations/a.xml", VOC)], &[("JPEGImages/a.png", 40, 30)]);
    let drop = DatasetOptions { on_bad_annotation: OnBadAnnotation::Drop, ..Default::default() };
    let (dataset, root) = set.open("", None, &drop).unwrap();
    assert_eq!(root, set.path("JPEGImages"));
    assert_eq!(dataset.classes.names(), ["cat", "dog"], "in alphabetical order, as VOC has no list");
    assert_eq!(boxes(&dataset, 0), [named("dog", [0.0, 0.0, 40.0, 30.0]), named("cat", [10.0, 5.0, 10.0, 5.0])]);
    assert!(dataset.annotations(0)[1].iscrowd, "difficult objects are ignored");
    let error = set.open("", None, &DatasetOptions::default()).unwrap_err();
    assert!(error.contains("a.xml, line 7: cat: no <bndbox> with four numbers"), "{error}");
    let set = Set::new(&[("x.xml", "<annotation><size>")], &[]);
    let error = set.open("", None, &DatasetOptions::default()).unwrap_err();
    assert!(error.contains("cannot be read as voc"), "{error}");
}

const CVAT: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <meta><task><labels><label><name>tree</name></label><label><name>car</name></label></labels></task></meta>
  <image id="0" name="deep/a.png" width="60" height="50">
    <box label="car" xtl="10.5" ytl="5" xbr="30.5" ybr="25" occluded="0"/>
    <polygon label="tree" points="0,0;20,0;20,10;0,10"/>
    <polyline label="car" points="1,1;2,2"/>
  </image>
  <image id="1" name="b.png" width="6" height="5"/>
</annotations>
"#;

#[test]
fn cvat_boxes_and_polygons_in_the_tasks_order_of_labels() {
    let set = Set::new(&[("set/annotations.xml", CVAT)], &[("set/images/deep/a.png", 60, 50), ("set/images/b.png", 6, 5)]);
    let drop = DatasetOptions { on_bad_annotation: OnBadAnnotation::Drop, ..Default::default() };
    let (dataset, root) = set.open("set/annotations.xml", None, &drop).unwrap();
    assert_eq!((root, dataset.len()), (set.path("set/images"), 2));
    assert_eq!(dataset.classes.names(), ["tree", "car"]);
    assert_eq!(boxes(&dataset, 0), [named("car", [10.5, 5.0, 20.0, 20.0]), named("tree", [0.0, 0.0, 20.0, 10.0])]);
    assert_eq!(dataset.annotations(0)[1].area, 200.0);
    let error = set.open("set/annotations.xml", None, &DatasetOptions::default()).unwrap_err();
    assert!(error.contains("annotations.xml, line 7: car: polyline: only boxes and polygons can be learned"), "{error}");
    let report = check(&set.path("set/annotations.xml"), None, ImageCheck::Decode).unwrap();
    assert_eq!((report.images, report.annotations, report.count(Severity::Error)), (2, 2, 1));
}

const LABELME: &str = r#"{
  "version": "5.0",
  "shapes": [
    {"label": "leaf", "points": [[0, 0], [10, 0], [10, 10]], "group_id": 1, "shape_type": "polygon"},
    {"label": "leaf", "points": [[20, 20], [30, 20], [30, 24]], "group_id": 1, "shape_type": "polygon"},
    {"label": "bug", "points": [[4, 6], [2, 1]], "group_id": null, "shape_type": "rectangle"},
    {"label": "bug", "points": [[4, 6], [2, 1]], "group_id": null, "shape_type": "circle"}
  ],
  "imagePath": "..\\photos\\a.png", "imageData": null, "imageHeight": 40, "imageWidth": 50
}"#;

#[test]
fn labelme_groups_are_one_object() {
    let set = Set::new(&[("set/a.json", LABELME)], &[("set/a.png", 50, 40)]);
    assert_eq!(recognise(&set.path("set")).map(|f| f.name), Some("labelme"));
    let drop = DatasetOptions { on_bad_annotation: OnBadAnnotation::Drop, ..Default::default() };
    let (dataset, _) = set.open("set", None, &drop).unwrap();
    assert_eq!(dataset.images[0].file_name, "a.png");
    assert_eq!(boxes(&dataset, 0), [named("leaf", [0.0, 0.0, 30.0, 24.0]), named("bug", [2.0, 1.0, 2.0, 5.0])]);
    let error = set.open("set", None, &DatasetOptions::default()).unwrap_err();
    assert!(error.contains("a.json, line 7: bug: circle: only polygons and rectangles can be learned"), "{error}");
}

#[test]
fn coco_files_and_strange_folders_are_left_to_coco() {
    let set = Set::new(&[("x.json", r#"{"images": [], "annotations": [], "categories": []}"#), ("empty/readme.md", "")], &[]);
    assert!(recognise(&set.path("x.json")).is_none() && recognise(&set.path("empty")).is_none());
}
