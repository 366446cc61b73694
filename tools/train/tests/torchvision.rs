//! torchvision's detectors, from a weights file to detections in the original image, through the shipped experiments.
//!
//! `tools/fixtures/torchvision_detectors.py` made the numbers and documents the settings; weights and image follow rules, so that only outputs
//! are kept. The files are written with the names that each model's published file has. Detections are compared as sets, at settings where no
//! pick hangs on rounding.

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use common::alone;
use image::{Rgb, RgbImage};
use repghost_backbone::synthetic::fill_with_gain;
use repghost_backbone::weights::{self, StateDict};
use repghost_backbone::Tree;
use repghost_train::config::Loaded;
use repghost_train::detection::engine::LibtorchPool;
use repghost_train::detection::model;
use repghost_train::predict::{predict, PredictOptions};
use repghost_train::WeightsFile;
use serde_json::Value;

/// As in the script.
const TINY_VARIANCE: f64 = 1.0 / 262_144.0;

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torchvision_detectors.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The script's `picture`.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|c| {
            let texture = 3 * x * x + 7 * y * (c + 1) + ((x / 8 + y / 8) % 2) * 120 + 40 * c;
            let smooth = 2 * x + y + 50 * c;
            if x < width / 2 {
                (texture % 256) as u8
            } else {
                smooth.min(255) as u8
            }
        }))
    })
}

fn experiment(name: &str, overrides: &[String]) -> Loaded {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    Loaded::read(&root.join(format!("experiments/torchvision/{name}.yaml")), overrides).unwrap()
}

/// A tensor's name in the published file of a first version: the names of before torchvision 0.13, which MobileNet's layers still have.
fn old_name(name: &str) -> String {
    let mut new = name.replace("rpn.head.conv.0.0.", "rpn.head.conv.").replace("backbone.body.features.", "backbone.body.");
    for i in 0..4 {
        for list in ["fpn.inner_blocks", "fpn.layer_blocks"] {
            new = new.replace(&format!("{list}.{i}.0."), &format!("{list}.{i}."));
        }
        for head in ["classification_head", "regression_head"] {
            new = new.replace(&format!("{head}.conv.{i}.0."), &format!("{head}.conv.{}.", 2 * i));
        }
        new = new.replace(&format!("mask_head.{i}.0."), &format!("mask_head.mask_fcn{}.", i + 1));
    }
    new
}

/// The weights by rule, as a file; with the number of its tensors as torchvision counts them.
fn weights_file(dir: &Path, name: &str, gain: f64, want: &Value) -> PathBuf {
    let loaded = experiment(name, &[]);
    let detector = model::build(&loaded.experiment, 80).unwrap();
    fill_with_gain(&detector, "", gain);
    let (v2, eps_0) = (name.ends_with("v2"), published_with_eps_0(name));
    for entry in detector.named_tensors() {
        let power = want["scale"].as_object().unwrap().iter().find(|(layer, _)| entry.name == format!("{layer}.weight"));
        let factor = match (power, entry.name.as_str()) {
            (Some((_, power)), _) => 2f64.powi(power.as_i64().unwrap() as i32),
            (None, "backbone.body.bn1.running_var") if eps_0 => TINY_VARIANCE,
            (None, "backbone.body.bn1.weight") if eps_0 => TINY_VARIANCE.sqrt(),
            _ => continue,
        };
        let _ = tch::no_grad(|| entry.tensor.shallow_clone().g_mul_scalar_(factor));
    }
    let mut state = StateDict::of(&detector, "");
    assert_eq!(state.len() as u64, want["keys"].as_u64().unwrap(), "{name} has torchvision's tensors");
    // FCOS came after the renaming.
    if !v2 && !name.starts_with("fcos") {
        state.tensors.iter_mut().for_each(|(name, _)| *name = old_name(name));
        assert!(state.names().any(|n| n.ends_with("fpn.inner_blocks.0.weight")));
    }
    let path = dir.join(format!("{name}.safetensors"));
    weights::write(&path, &state).unwrap();
    path
}

/// Whether the frozen norms of the published file expect an eps of 0 (FCOS's and MobileNet's have the usual 1e-5).
fn published_with_eps_0(name: &str) -> bool {
    ["retinanet_resnet50_fpn", "maskrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn"].contains(&name)
}

/// One detection: class id, score, box as x, y, width, height, pixels of its mask.
type Row = (i64, f64, [f64; 4], Option<u64>);

/// How far apart two detections are: corners in pixels, scores, pixels of masks as a share; infinity for different classes.
fn distance(a: &Row, b: &Row) -> [f64; 3] {
    let masks = match (a.3, b.3) {
        (Some(a), Some(b)) => a.abs_diff(b) as f64 / b.max(100) as f64,
        (None, None) => 0.0,
        _ => f64::INFINITY,
    };
    let corners = a.2.iter().zip(b.2).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    [if a.0 == b.0 { corners } else { f64::INFINITY }, (a.1 - b.1).abs(), masks]
}

/// The largest distances over pairs of detections, each with the nearest one that is still free. Infinity where one has no partner.
fn compare(found: &[Row], wanted: &[Row]) -> [f64; 3] {
    if found.len() != wanted.len() {
        return [f64::INFINITY; 3];
    }
    let mut free: Vec<&Row> = wanted.iter().collect();
    let mut worst = [0f64; 3];
    for row in found {
        let apart = |other: &Row| distance(row, other)[..2].iter().sum::<f64>();
        let nearest = (0..free.len()).min_by(|i, j| apart(free[*i]).total_cmp(&apart(free[*j]))).unwrap();
        let pair = distance(row, free.swap_remove(nearest));
        worst.iter_mut().zip(pair).for_each(|(worst, pair)| *worst = worst.max(pair));
    }
    worst
}

/// What torchvision found, without ids that COCO does not use.
fn expected(want: &Value) -> Vec<Row> {
    let ids: Vec<i64> = repghost_coco::annotations::COCO_CATEGORIES.iter().map(|c| c.0).collect();
    let rows = (0..want["scores"].as_array().unwrap().len()).map(|i| {
        let b: [f64; 4] = serde_json::from_value(want["boxes"][i].clone()).unwrap();
        let bbox = [b[0], b[1], b[2] - b[0], b[3] - b[1]];
        (want["labels"][i].as_i64().unwrap(), want["scores"][i].as_f64().unwrap(), bbox, want["mask_pixels"][i].as_u64())
    });
    rows.filter(|row| ids.contains(&row.0)).collect()
}

fn found(dir: &Path, name: &str, weights: &Path, overrides: &[String]) -> Vec<Row> {
    let loaded = experiment(name, overrides);
    let e = &loaded.experiment;
    let options = PredictOptions { images: vec![dir.join("picture.png")], output: dir.join("out"), ..Default::default() };
    let pool = LibtorchPool::new(e, model::load(e, WeightsFile::read(weights).unwrap()).unwrap());
    predict(e, &pool, &options, &AtomicBool::new(false), &mut |_, _| ()).unwrap().unwrap();
    let text = std::fs::read_to_string(dir.join("out/detections.json")).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let row = |d: &Value| {
        let mask = (!d["segmentation"].is_null()).then(|| pixels(&d["segmentation"]));
        (
            d["category_id"].as_i64().unwrap(),
            d["score"].as_f64().unwrap(),
            serde_json::from_value(d["bbox"].clone()).unwrap(),
            mask,
        )
    };
    rows.iter().map(row).collect()
}

fn pixels(segmentation: &Value) -> u64 {
    let size: [u32; 2] = serde_json::from_value(segmentation["size"].clone()).unwrap();
    let rle = repghost_coco::Rle::from_packed(size, segmentation["counts"].as_str().unwrap()).unwrap();
    rle.area()
}

#[test]
fn published_files_give_torchvisions_detections() {
    let _alone = alone();
    let fixture = fixture();
    let dir = tempfile::tempdir().unwrap();
    let [width, height] = ["width", "height"].map(|k| fixture[k].as_u64().unwrap() as u32);
    picture(width, height).save(dir.path().join("picture.png")).unwrap();
    println!("{:<40}{:>11}{:>12}{:>12}{:>12}", "largest difference", "detections", "box, px", "score", "mask, share");
    for (name, want) in fixture["models"].as_object().unwrap() {
        let file = weights_file(dir.path(), name, fixture["gain"].as_f64().unwrap(), want);
        let mut overrides = vec![
            format!("data.augment.resize.min_sizes=[{}]", fixture["min_size"]),
            format!("data.augment.resize.max_size={}", fixture["max_size"]),
            format!("eval.score_threshold={}", want["score_threshold"]),
        ];
        if let Some(proposals) = want["proposals"].as_u64() {
            overrides.push(format!("model.head.rpn.post_nms_top_n_test={proposals}"));
        }
        if let Some(most) = want["max_detections"].as_u64() {
            overrides.push(format!("eval.max_detections={most}"));
        }
        let (found_rows, wanted) = (found(dir.path(), name, &file, &overrides), expected(want));
        assert!(wanted.len() >= 20, "{name}: {} detections to compare", wanted.len());
        assert_eq!(wanted[0].3.is_some(), name.starts_with("mask"), "{name}: torchvision's masks");
        let [boxes, scores, masks] = compare(&found_rows, &wanted);
        println!("{name:<40}{:>11}{boxes:>12.1e}{scores:>12.1e}{masks:>12.1e}", wanted.len());
        assert!(boxes < 1e-2 && scores < 1e-4 && masks < 0.02, "{name}: boxes {boxes} px, scores {scores}, masks {masks}");

        // The trap: the same file with PyTorch's usual eps loads without a warning and gives other detections.
        if published_with_eps_0(name) {
            let mut wrong = overrides.to_vec();
            wrong.push("model.backbone.norm_eps=null".into());
            let rows = found(dir.path(), name, &file, &wrong);
            assert!(compare(&rows, &wanted)[1] > 1e-3, "{name}: eps makes no difference, so the test is blind to it");
        }
        std::fs::remove_file(file).unwrap();
    }
}

/// A published file tunes a detector of three classes: the layers that count classes are made anew and named, all else is the file's.
#[test]
fn a_published_file_is_tuned_to_other_classes() {
    let _alone = alone();
    let fixture = fixture();
    let dir = tempfile::tempdir().unwrap();
    for (name, layers, boxes) in [
        (
            "retinanet_resnet50_fpn",
            vec!["head.classification_head.cls_logits.weight (model [27, 256, 3, 3], file [819, 256, 3, 3])"],
            None,
        ),
        (
            "maskrcnn_resnet50_fpn",
            vec![
                "roi_heads.box_predictor.cls_score.weight (model [4, 1024], file [91, 1024])",
                "roi_heads.box_predictor.bbox_pred.bias (model [16], file [364])",
                "roi_heads.mask_predictor.mask_fcn_logits.bias (model [4], file [91])",
            ],
            Some("roi_heads.box_head.fc7.weight"),
        ),
    ] {
        let want = &fixture["models"][name];
        let file = weights_file(dir.path(), name, fixture["gain"].as_f64().unwrap(), want);
        let init = [format!("init.detector={}", file.display()), "model.head.coco_91=false".into()];
        let e = experiment(name, &init).experiment;
        let detector = model::build(&e, 3).unwrap();
        let notes = model::initialise(&e, &detector).unwrap();
        assert_eq!(notes.len(), 1);
        for layer in layers {
            assert!(notes[0].contains(layer), "{layer}: {}", notes[0]);
        }
        assert!(
            notes[0].contains("made anew, as the number of classes differs")
                && notes[0].contains("names from before torchvision 0.13")
        );
        let state = weights::read(&file).unwrap();
        let names = ["backbone.body.layer3.2.conv2.weight", "backbone.fpn.layer_blocks.1.0.bias"].into_iter().chain(boxes);
        for name in names {
            let tensor = detector.named_tensors().into_iter().find(|e| e.name == name).unwrap().tensor;
            assert!(tensor.equal(state.get(&old_name(name)).unwrap()), "{name} is the file's");
        }

        // Its backbone alone, for another head's detector: names below backbone.body.
        let init = [format!("init.backbone={}", file.display()), "model.fpn.channels=64".into()];
        let e = experiment(name, &init).experiment;
        let narrow = model::build(&e, 80).unwrap();
        let notes = model::initialise(&e, &narrow).unwrap();
        assert!(notes[0].contains("loaded 265 tensors"), "53 convolutions and 53 frozen norms: {}", notes[0]);
        // As a whole it does not fit.
        let init = [format!("init.detector={}", file.display()), "model.fpn.channels=64".into()];
        let e = experiment(name, &init).experiment;
        let error = model::initialise(&e, &model::build(&e, 80).unwrap()).unwrap_err();
        assert!(error.to_string().contains("of another shape"), "{error}");
        std::fs::remove_file(file).unwrap();
    }
}
