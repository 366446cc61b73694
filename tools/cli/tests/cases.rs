//! Inputs that real people's tools write, one small set each in `shared/cases`: what is read, what is repaired, what is refused, and in which
//! words. `docs/data.md` has the table.
#![cfg(unix)]

mod common;

use std::path::{Path, PathBuf};

use common::{detector, Folder, Ran};
use repghost_testing::shared;
use serde_json::Value;

const QUICK: &str = "
data:
  augment: {resize: {size: 96}, hflip: 0.0}
  workers: 1
model:
  backbone: {name: repghostnet, width: 0.25}
  fpn: {channels: 16}
  head: {name: retinanet, tower_depth: 1}
train:
  epochs: 1
  batch_size: 4
  eval_every: 1
  optimizer: {name: adamw, lr: 1.0e-3}
";

/// A case, and a fresh folder to work in.
struct Case {
    files: PathBuf,
    folder: Folder,
}

impl Case {
    fn open(name: &str) -> Option<Self> {
        let files = shared(&format!("cases/{name}"))?;
        Some(Self { files, folder: Folder::new(&[("quick.yaml", QUICK)]) })
    }

    /// Overrides that name the case's files.
    fn data(&self, splits: &[(&str, &str)]) -> Vec<String> {
        let images = self.files.join("images");
        let of = |(split, file): &(&str, &str)| {
            [
                format!("data.{split}.images={}", images.display()),
                format!("data.{split}.annotations={}", self.path(file).display()),
            ]
        };
        splits.iter().flat_map(of).collect()
    }

    /// A file of the case, or one that the test wrote.
    fn path(&self, file: &str) -> PathBuf {
        let own = self.folder.path().join(file);
        if own.exists() {
            own
        } else {
            self.files.join(file)
        }
    }

    fn train(&self, more: &[&str]) -> Ran {
        let data = self.data(&[("train", "train.json"), ("val", "val.json")]);
        let mut arguments = vec!["train", "quick.yaml", "--run-dir", "run"];
        arguments.extend(data.iter().map(String::as_str));
        arguments.extend(more);
        self.folder.run(&arguments)
    }

    fn eval(&self, more: &[&str]) -> Ran {
        let arguments = ["eval", "run", "--weights", "run/weights/last.safetensors", "--output", "eval"];
        self.folder.run(&[&arguments, more].concat())
    }

    fn check(&self, file: &str, more: &[&str]) -> Ran {
        let (annotations, images) = (self.path(file), self.files.join("images"));
        let arguments = ["data", "check", "--annotations", text(&annotations), "--images", text(&images)];
        self.folder.run(&[&arguments, more].concat())
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(file)).unwrap()).unwrap()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The command ended well and printed each of the parts on stderr.
fn assert_fine(ran: &Ran, parts: &[&str]) {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for part in parts {
        assert!(ran.stderr.contains(part), "{part:?} is not in\n{}", ran.stderr);
    }
}

/// The command was refused in one line that has each of the parts, and nothing was left behind.
fn assert_refused(case: &Case, ran: &Ran, parts: &[&str]) {
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let line = ran.stderr.lines().find(|line| line.starts_with("error")).unwrap_or_default();
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
    assert!(!case.folder.path().join("run").exists(), "a run folder was made");
}

#[test]
fn a_sound_set_trains_without_a_warning() {
    let Some(case) = Case::open("sound") else { return };
    let ran = case.train(&[]);
    assert_fine(&ran, &["12 images with 24 objects", "the best so far"]);
    let warnings: Vec<&str> = ran.stderr.lines().filter(|l| l.starts_with("warning") && !l.contains("too short")).collect();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(case.check("train.json", &[]).stdout.lines().count(), 1);
}

/// Roboflow's category 0 has the project's name: here that of the only class.
#[test]
fn a_root_category_is_no_class() {
    let Some(case) = Case::open("roboflow_same_name") else { return };
    assert_fine(&case.train(&[]), &["1 classes (red)", "category 0 (\"red\") has no object"]);
    let check = case.check("train.json", &[]);
    assert!(check.code == 0 && check.stdout.contains("category-left-out"), "{}", check.stdout);
}

/// The validation file numbers the classes otherwise: the same run finds the same objects, under the ids of the file that it is measured on.
#[test]
fn another_order_of_classes_gives_the_same_numbers() {
    let (Some(sound), Some(other)) = (Case::open("sound"), Case::open("split_other_order")) else { return };
    let trained = |case: &Case| {
        // Everything that is found counts, so that a few steps find something.
        assert_fine(&case.train(&["train.epochs=2", "eval.score_threshold=0"]), &[]);
        let found = case.json("run/detections.json").as_array().unwrap().clone();
        assert!(found.len() > 100, "{} detections", found.len());
        (found, case.json("run/metrics.json"))
    };
    let ((expected, numbers), (mut found, same_numbers)) = (trained(&sound), trained(&other));
    for detection in &mut found {
        detection["category_id"] = (3 - detection["category_id"].as_i64().unwrap()).into();
    }
    assert!(found == expected, "the detections differ by more than the ids of their classes");
    assert_eq!(numbers, same_numbers);
    let red = serde_json::json!({"id": 2, "name": "red"});
    assert!(other.json("run/classes.json").as_array().unwrap().contains(&red));
    // What was measured in the run is measured after it.
    assert_fine(&other.eval(&[]), &[]);
    let [in_run, after] = [&same_numbers, &other.json("eval/metrics.json")].map(|m| m["bbox"]["AP50"].as_f64().unwrap());
    assert!((in_run - after).abs() < 0.02, "{in_run} during training, {after} after it");
}

#[test]
fn a_mask_head_needs_outlines() {
    let Some(case) = Case::open("boxes_only") else { return };
    let mask = "model.head={_delete_: true, name: mask_rcnn}";
    assert_refused(&case, &case.train(&[mask]), &["none of its", "outline", "model.head.name=faster_rcnn"]);
    // The advice works.
    let ran = case.train(&[mask, "model.head.name=faster_rcnn", "--dry-run"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);

    // Some have none: counted.
    let Some(case) = Case::open("sound") else { return };
    let mut train = case.json("train.json");
    train["annotations"][0]["segmentation"] = serde_json::json!([]);
    case.folder.write("train.json", &train.to_string());
    let ran = case.train(&[mask, "--dry-run"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("data.train: 1 of 24 objects have no outline"), "{}", ran.stdout);
}

#[test]
fn backslashes_are_slashes_and_other_causes_have_hints() {
    let Some(case) = Case::open("backslash_subfolder") else { return };
    assert_fine(&case.train(&[]), &["12 images with"]);
    assert_eq!(case.check("train.json", &[]).code, 0);
    let Some(case) = Case::open("sound") else { return };
    let mut train = case.json("train.json");
    train["images"][0]["file_name"] = "IMG_000.PNG".into();
    case.folder.write("train.json", &train.to_string());
    assert_refused(&case, &case.train(&[]), &["data.train: 1 of 12 images", "missing", "upper and lower case", "img_000.png"]);
}

/// Photos of a phone, annotated as people see them.
#[test]
fn check_and_train_agree_about_turned_photos() {
    let Some(case) = Case::open("exif6_upright") else { return };
    let check = case.check("train.json", &[]);
    assert!(check.code == 2 && check.stdout.contains("data.apply_exif=true"), "{}", check.stdout);
    assert_refused(&case, &case.train(&[]), &["data.apply_exif=true"]);
    let turned = case.check("train.json", &["--apply-exif"]);
    assert_eq!(turned.code, 0, "{}", turned.stdout);
    assert_fine(&case.train(&["data.apply_exif=true"]), &["evaluation after epoch 1"]);

    // Predictions are on upright photos, whatever the run was trained on.
    let images = case.files.join("images");
    let predict = |output: &str, more: &[&str]| {
        let ran = case.folder.run(&[&["predict", "run", text(&images), "--output", output][..], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let mut pictures: Vec<_> =
            std::fs::read_dir(case.folder.path().join(output)).unwrap().flatten().map(|e| e.path()).collect();
        pictures.retain(|path| path.extension().is_some_and(|x| x == "png"));
        pictures.sort();
        (ran.stderr, repghost_coco::decode::image_size(&pictures[0], &Default::default()).unwrap())
    };
    let (notes, upright) = predict("upright", &["data.apply_exif=false", "data.apply_exif=true"]);
    assert!(notes.contains("turned upright"), "{notes}");
    let (_, by_default) = predict("default", &[]);
    let (notes, stored) = predict("stored", &["data.apply_exif=false"]);
    assert!(
        upright == by_default && upright == [stored[1], stored[0]] && !notes.contains("turned upright"),
        "{upright:?} {stored:?}"
    );
}

/// COCO's test sets have no annotations: nothing is measured, and nothing is the best.
#[test]
fn a_set_without_objects_measures_nothing() {
    let Some(case) = Case::open("info_only_test") else { return };
    let ran = case.train(&[]);
    assert_fine(&ran, &["not measured"]);
    assert!(!ran.stderr.contains("-1.0000") && !ran.stderr.contains("best so far"), "{}", ran.stderr);
    let weights = |name: &str| std::fs::read(case.folder.path().join(format!("run/weights/{name}.safetensors"))).unwrap();
    assert!(weights("best") == weights("last"), "the best weights are the last ones");
    let eval = case.eval(&[]);
    assert_fine(&eval, &["nothing is measured"]);
    assert!(!eval.stdout.contains("-1.0000") && eval.stdout.contains(" - "), "{}", eval.stdout);
}

#[test]
fn files_that_are_something_else_are_named() {
    let Some(bom) = shared("cases/containers/bom.json") else { return };
    let folder = Folder::new(&[]);
    let stats = |path: &Path| folder.run(&["data", "stats", "--annotations", text(path)]);
    let ran = stats(&bom);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes, part) in [
        ("a.json", &utf16[..], "UTF-16"),
        ("b.json", b"PK\x03\x04abcd", "ZIP"),
        ("c.json", b"<!DOCTYPE html><html>", "web page"),
        ("d.json", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let ran = stats(&path);
        assert!(ran.code == 2 && ran.stderr.contains(part), "{name}: {}", ran.stderr);
    }
    let ran = stats(&bom.with_file_name(""));
    assert!(ran.code == 2, "{}", ran.stderr);
}

/// Half a JPEG, one without its end marker, a HEIC picture named .jpg.
#[test]
fn unreadable_images_are_counted_and_named() {
    let (Some(case), Some(broken)) = (Case::open("sound"), shared("cases/broken_images")) else { return };
    let images = case.folder.path().join("images");
    std::fs::create_dir(&images).unwrap();
    for folder in [case.files.join("images"), broken] {
        for file in std::fs::read_dir(folder).unwrap().flatten() {
            std::fs::copy(file.path(), images.join(file.file_name())).unwrap();
        }
    }
    for (split, names) in [("train", &["half.jpg", "no_eoi.jpg", "heic.jpg"][..]), ("val", &["heic.jpg"])] {
        let mut set = case.json(&format!("{split}.json"));
        for (i, name) in names.iter().enumerate() {
            let entry = serde_json::json!({"id": 900 + i, "file_name": name, "width": 96, "height": 96});
            set["images"].as_array_mut().unwrap().push(entry);
            let object = serde_json::json!({"id": 900 + i, "image_id": 900 + i, "category_id": 1, "bbox": [1, 1, 20, 20], "area": 400, "iscrowd": 0});
            set["annotations"].as_array_mut().unwrap().push(object);
        }
        case.folder.write(&format!("{split}.json"), &set.to_string());
    }
    let own = [format!("data.train.images={}", images.display()), format!("data.val.images={}", images.display())];
    let own = [own[0].as_str(), own[1].as_str()];
    let refused = case.train(&own);
    assert_refused(&case, &refused, &["data.train: 3 of 15 images", "heic.jpg", "data.on_unreadable_image=skip"]);
    let skipped = case.train(&[&own[..], &["data.on_unreadable_image=skip"]].concat());
    assert_fine(
        &skipped,
        &[
            "warning: data.train: 3 of 15 images cannot be used and are left out (",
            "data.val: 1 of 5 images",
            "HEIC",
            "truncated",
        ],
    );
}

#[test]
fn classes_of_one_file_only_are_named() {
    let Some(case) = Case::open("sound") else { return };
    // The validation file lacks a class, and has another.
    let mut val = case.json("val.json");
    val["categories"][1]["name"] = "green".into();
    case.folder.write("val.json", &val.to_string());
    assert_fine(&case.train(&[]), &["data.val: has no class blue; they are not measured", "green (", "left out"]);
    let red = case.eval(&["data.classes=[red]"]);
    assert_fine(&red, &[]);
    let unknown = case.eval(&["data.classes=[rde]"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("the weights have no class 'rde'"), "{}", unknown.stderr);
}

#[test]
fn suspicious_annotations_are_told() {
    let Some(case) = Case::open("sound") else { return };
    let sound = case.json("train.json");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut set = sound.clone();
        set["annotations"].as_array_mut().unwrap().iter_mut().for_each(change);
        case.folder.write("train.json", &set.to_string());
        case.check("train.json", &[])
    };
    let corners = changed(&|object| {
        let b: Vec<f64> = object["bbox"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        object["bbox"] = serde_json::json!([b[0], b[1], b[0] + b[2], b[1] + b[3]]);
    });
    assert!(corners.stdout.contains("bbox-corners"), "{}", corners.stdout);
    assert!(case.train(&["--dry-run"]).stdout.contains("probably corners"));
    let lower = changed(&|object| object["category_id"] = (object["category_id"].as_i64().unwrap() - 1).into());
    assert!(lower.code == 2 && lower.stdout.contains("category-ids-one-lower"), "{}", lower.stdout);
    // Dropping the ids that are unknown would leave wrong classes.
    for more in [&[][..], &["data.on_bad_annotation=drop"]] {
        assert_refused(&case, &case.train(more), &["each one lower"]);
    }
    let texts = changed(&|object| object["image_id"] = object["image_id"].to_string().into());
    assert!(texts.code == 2 && texts.stdout.contains("write numbers, without quotes"), "{}", texts.stdout);
}

/// 16 kB that claim 200 views of 2^24 elements each.
#[test]
fn a_small_file_cannot_ask_for_all_memory() {
    let Some(file) = shared("cases/expand200one.pth") else { return };
    let ran = common::run(&["weights", "inspect", text(&file)]);
    assert!(ran.code == 2 && ran.stderr.lines().count() == 1, "{}: {}", ran.code, ran.stderr);
}

/// A folder with endings that not every tool writes, and a leftover of macOS.
#[test]
fn a_listing_takes_images_of_all_endings() {
    let Some(files) = shared("cases/listing") else { return };
    let (folder, threshold) = detector::folder(detector::RETINANET);
    let base = ["predict", "a.yaml", &threshold, "--weights", "w.safetensors", "--output", "out"];
    let out = folder.run(&[&base[..], &[text(&files)]].concat());
    assert_fine(&out, &["passed over: 1 hidden"]);
    assert!(out.stdout.contains("in 3 images"), "{}", out.stdout);
    for name in ["a.png", "b.png", "d.png", "detections.json"] {
        assert!(folder.path().join("out").join(name).is_file(), "{name}");
    }
}

/// The three starts of the README's "Your own data", on the built-in set: a YOLO folder, COCO files, an export of Roboflow.
#[test]
fn the_readme_starts_from_yolo_coco_and_roboflow() {
    let folder = Folder::new(&[]);
    let shapes = ["data", "shapes", "--output", "shapes", "--train", "8", "--val", "4", "--size", "96"];
    assert_fine(&folder.run(&shapes), &[]);
    let root = folder.path();
    std::fs::create_dir_all(root.join("set/images")).unwrap();
    for (split, of_roboflow) in [("train", "train"), ("val", "valid")] {
        let coco = format!("shapes/annotations/instances_{split}.json");
        let mut json: Value = serde_json::from_slice(&std::fs::read(root.join(&coco)).unwrap()).unwrap();
        // Ultralytics' layout: images/SPLIT, labels/SPLIT.
        std::fs::create_dir_all(root.join("set/labels").join(split)).unwrap();
        let images: Vec<String> =
            json["images"].as_array().unwrap().iter().map(|i| i["file_name"].as_str().unwrap().to_owned()).collect();
        let yolo = root.join("set/images").join(split);
        let roboflow = root.join("roboflow").join(of_roboflow);
        for copy in [&yolo, &roboflow] {
            std::fs::create_dir_all(copy).unwrap();
            images.iter().for_each(|name| {
                assert!(std::fs::copy(root.join("shapes").join(split).join(name), copy.join(name)).unwrap() > 0)
            });
        }
        for (image, name) in json["images"].as_array().unwrap().iter().zip(&images) {
            let line = |a: &Value| {
                let [x, y, w, h] = [0, 1, 2, 3].map(|i| a["bbox"][i].as_f64().unwrap() / 96.0);
                format!("{} {} {} {w} {h}\n", a["category_id"].as_i64().unwrap() - 1, x + w / 2.0, y + h / 2.0)
            };
            let of_image = json["annotations"].as_array().unwrap().iter().filter(|a| a["image_id"] == image["id"]);
            let labels: String = of_image.map(line).collect();
            folder.write(&format!("set/labels/{split}/{}", name.replace(".png", ".txt")), &labels);
        }
        // Roboflow's category 0 is the set's group.
        json["categories"]
            .as_array_mut()
            .unwrap()
            .insert(0, serde_json::json!({"id": 0, "name": "figures", "supercategory": "none"}));
        json["categories"].as_array_mut().unwrap()[1..].iter_mut().for_each(|c| c["supercategory"] = "figures".into());
        folder.write(&format!("roboflow/{of_roboflow}/_annotations.coco.json"), &json.to_string());
    }
    let classes = "[circle, square, triangle, star, ring]";
    folder.write("set/data.yaml", &format!("path: .\ntrain: images/train\nval: images/val\nnc: 5\nnames: {classes}\n"));
    let of = |annotations: [&str; 2], images: Option<[&str; 2]>| -> Vec<String> {
        let mut all: Vec<String> =
            ["train", "val"].iter().zip(annotations).map(|(split, file)| format!("data.{split}.annotations={file}")).collect();
        let images = images.iter().flat_map(|folders| ["train", "val"].iter().zip(folders));
        all.extend(images.map(|(split, folder)| format!("data.{split}.images={folder}")));
        all
    };
    let coco = ["shapes/annotations/instances_train.json", "shapes/annotations/instances_val.json"];
    let exported = ["roboflow/train/_annotations.coco.json", "roboflow/valid/_annotations.coco.json"];
    for (name, data) in [
        ("yolo", of(["set/data.yaml"; 2], None)),
        ("coco", of(coco, Some(["shapes/train", "shapes/val"]))),
        ("roboflow", of(exported, Some(["roboflow/train", "roboflow/valid"]))),
    ] {
        let quick = ["data.augment.resize.size=96", "train.epochs=1", "train.batch_size=4"];
        let run = format!("runs/{name}");
        let mut arguments = vec!["train", "small", "--run-dir", &run];
        arguments.extend(data.iter().map(String::as_str));
        arguments.extend(quick);
        let out = folder.run(&arguments);
        assert_fine(&out, &["8 images with ", "4 with ", "5 classes (circle, square, triangle, star, ring)"]);
        assert_eq!(out.stderr.contains("category 0 (\"figures\")"), name == "roboflow", "{}", out.stderr);
        assert!(root.join(&run).join("weights/best.safetensors").is_file());
    }
    assert_fine(&folder.run(&["data", "check", "--annotations", "set/data.yaml"]), &[]);
    assert_fine(&folder.run(&["predict", "runs/yolo", "shapes/val", "--recursive", "--output", "out"]), &[]);
}
