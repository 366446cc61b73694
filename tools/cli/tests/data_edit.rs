//! `data split`, `merge`, `convert` and `check --against` on the built-in set, as their users see them.

mod common;

use common::Folder;
use serde_json::Value;

fn set() -> Folder {
    let folder = Folder::new(&[]);
    let ran = folder.run(&["data", "shapes", "--output", "set", "--train", "20", "--val", "4", "--size", "128"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    folder
}

const TRAIN: [&str; 4] = ["--annotations", "set/annotations/instances_train.json", "--images", "set/train"];

fn count(folder: &Folder, file: &str, list: &str) -> usize {
    let value: Value = serde_json::from_slice(&std::fs::read(folder.path().join(file)).unwrap()).unwrap();
    value[list].as_array().unwrap().len()
}

#[test]
fn a_split_shares_no_image_and_merges_back() {
    let folder = set();
    let split = |more: &[&str]| folder.run(&[&["data", "split"], &TRAIN[..], &["--output", "split"], more].concat());
    let ran = split(&["--val", "0.25", "--stratify"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let row = ran.stdout.lines().find(|l| l.starts_with("images ")).unwrap();
    // Classes come first: of 20 images, a quarter or one more or less.
    let [train, val] = ["split/train.json", "split/val.json"].map(|file| count(&folder, file, "images"));
    assert!(train + val == 20 && (4..=6).contains(&val), "{train} {val}");
    let share = format!("{:.1}", 5.0 * val as f64);
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["images", &train.to_string(), &val.to_string(), &share, "%"]);
    let again = split(&[]);
    assert!(again.code == 2 && again.stderr.contains("train.json: is there already"), "{}", again.stderr);
    let wrong = split(&["--val", "1.5"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("expected a share between 0 and 1"), "{}", wrong.stderr);
    let check = |other: &str| {
        let of = [
            "data",
            "check",
            "--annotations",
            "split/train.json",
            "--images",
            "set/train",
            "--against",
            other,
            "--pairs",
            "p.png",
        ];
        folder.run(&of)
    };
    let apart = check("split/val.json");
    assert!(apart.stdout.contains("in both sets: 0 byte-equal pairs"), "{}", apart.stdout);
    assert_eq!(apart.code, 0, "{}", apart.stderr);
    let same = check("split/train.json");
    assert_eq!(same.code, 2);
    assert!(
        same.stdout.contains(&format!("{train} byte-equal pairs"))
            && same.stderr.contains(&format!("{train} images in the other set too")),
        "{}",
        same.stdout
    );
    assert!(std::fs::read(folder.path().join("p.png")).unwrap().starts_with(b"\x89PNG"));
    let merged = folder.run(&["data", "merge", "split/train.json", "split/val.json", "--output", "all.json"]);
    assert_eq!(merged.code, 0, "{}", merged.stderr);
    for list in ["images", "annotations", "categories"] {
        assert_eq!(count(&folder, "all.json", list), count(&folder, "set/annotations/instances_train.json", list), "{list}");
    }
}

#[test]
fn a_set_goes_to_yolo_and_back() {
    let folder = set();
    let to = folder.run(&[&["data", "convert"], &TRAIN[..], &["--to", "yolo", "--output", "yolo"]].concat());
    assert_eq!(to.code, 0, "{}", to.stderr);
    assert!(to.stderr.contains("outlines: boxes are written"), "{}", to.stderr);
    let back = ["data", "convert", "--annotations", "yolo/labels", "--images", "set/train", "--output", "back.json"];
    let ran = folder.run(&back);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for list in ["images", "annotations", "categories"] {
        assert_eq!(count(&folder, "back.json", list), count(&folder, "set/annotations/instances_train.json", list), "{list}");
    }
    // A format that is named is the only one.
    let named = ["data.train.annotations=yolo/labels", "data.train.images=set/train", "data.source=voc"];
    let train = folder.run(&[&["train", "small", "--dry-run"], &named[..]].concat());
    assert!(train.code == 2 && train.stderr.contains("looks like yolo, but data.source is voc"), "{}", train.stderr);
}
