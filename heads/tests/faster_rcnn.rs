//! Faster R-CNN against torchvision 0.26: numbers from `tools/fixtures/faster_rcnn.py`, weights and images by rule.

mod common;

use std::collections::{BTreeMap, HashMap};

use repghost_backbone::synthetic::{fill, input};
use repghost_backbone::{BackboneConfig, Eager, FuseLevel, Tree};
use repghost_heads::model::DetectorModel;
use repghost_heads::rcnn::config::{BoxHeadConfig, FasterRcnnConfig, RoiConfig, RpnConfig};
use repghost_heads::rcnn::Rcnn;
use repghost_heads::{Detector, FpnConfig, HeadConfig, ImageBatch, Stage, Target};
use tch::{Device, Kind, Tensor};

const PADDED: [i64; 2] = [160, 224];
const SIZES: [[i64; 2]; 3] = [[128, 224], [160, 192], [96, 136]];

type Fixture = HashMap<String, Tensor>;

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/faster_rcnn.safetensors");
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

/// The script's network, with the weights of some layers scaled by powers of two.
fn build(proposals: usize, scales: &[(&str, i32)]) -> Rcnn {
    let config = FasterRcnnConfig {
        rpn: RpnConfig {
            pre_nms_top_n_train: 300,
            pre_nms_top_n_test: 200,
            post_nms_top_n_train: 150,
            post_nms_top_n_test: proposals,
            batch_size_per_image: 64,
            ..RpnConfig::default()
        },
        roi: RoiConfig { batch_size_per_image: 64, ..RoiConfig::default() },
        box_head: BoxHeadConfig { fcs: vec![64, 64], ..BoxHeadConfig::default() },
        ..FasterRcnnConfig::default()
    };
    let body = BackboneConfig { width: 0.5, ..BackboneConfig::default() }.build_features().unwrap();
    let model = Rcnn::faster(body, &FpnConfig { channels: 32, ..FpnConfig::default() }, &config, 3).unwrap();
    fill(&model, "");
    for entry in model.named_tensors() {
        if let Some((_, power)) = scales.iter().find(|(name, _)| entry.name == format!("{name}.weight")) {
            let _ = tch::no_grad(|| entry.tensor.shallow_clone().g_mul_scalar_(2f64.powi(*power)));
        }
    }
    model
}

fn images(kind: Kind) -> ImageBatch {
    let pixels = input("images.4", &[3, 3, PADDED[0], PADDED[1]]);
    for (i, [h, w]) in SIZES.into_iter().enumerate() {
        let image = pixels.get(i as i64);
        let _ = image.narrow(1, h, PADDED[0] - h).zero_();
        let _ = image.narrow(2, w, PADDED[1] - w).zero_();
    }
    ImageBatch { pixels: pixels.to_kind(kind), sizes: SIZES.to_vec() }
}

fn targets() -> Vec<Target> {
    let first = [
        [4.0, 6.0, 40.5, 38.0],
        [30.0, 20.0, 130.0, 116.0],
        [150.0, 10.0, 172.0, 27.0],
        [8.0, 8.0, 44.0, 40.0],
        [2.0, 30.0, 222.0, 92.0],
    ];
    let second = [[10.0, 12.0, 30.0, 31.0], [50.0, 40.0, 181.0, 150.0]];
    vec![Target::new(&first, &[0, 1, 2, 1, 0]), Target::new(&second, &[2, 0]), Target::empty()]
}

/// Detections as sets, at settings where no pick hangs on rounding. In single precision corners agree to 2e-4 of their size.
#[test]
fn detects_what_torchvision_detects() {
    let want = fixture();
    for (kind, pixels) in [(Kind::Double, 1e-3), (Kind::Float, 2e-2)] {
        let scales = [
            ("rpn.head.cls_logits", -9),
            ("rpn.head.bbox_pred", -11),
            ("roi_heads.box_predictor.cls_score", -9),
            ("roi_heads.box_predictor.bbox_pred", -9),
        ];
        let mut model = build(want["eval.post_nms_top_n"].double_value(&[0]) as usize, &scales);
        model.decoder.postprocess.score_threshold = want["eval.score_thresh"].double_value(&[0]);
        model.convert(Device::Cpu, kind);
        let detector = Detector::Rcnn(Box::new(model));
        assert_eq!(detector.stages().len(), 2, "images, boxes; no masks");
        for (i, found) in detector.detect(&images(kind)).iter().enumerate() {
            let wanted = |key: &str| &want[&format!("detections.{i}.{key}")];
            let wanted = common::detections(wanted("boxes"), wanted("scores"), wanted("labels"), 1);
            assert!(found.len() > 10 && found.masks.is_none(), "image {i} has detections to compare");
            let [boxes, scores] = common::compare(found, &wanted);
            println!("{kind:?} image {i}: {} boxes, {boxes:.1e} px, scores {scores:.1e}", found.len());
            assert!(boxes < pixels && scores < 1e-4, "{kind:?} image {i}: boxes off by {boxes:.1e} px, scores by {scores:.1e}");
        }
    }
}

/// Norm, and up to eight elements at equal distances.
fn summary(t: &Tensor) -> Tensor {
    let flat = t.reshape([-1]);
    let step = (flat.numel() as i64 / 8).max(1);
    Tensor::cat(&[flat.norm().view([1]), flat.slice(0, 0, None, step).slice(0, 0, 8, 1)], 0)
}

/// The four losses, and the gradient of every parameter relative to its norm, in double precision.
#[test]
fn learns_what_torchvision_learns() {
    let want = fixture();
    let model = build(60, &[("rpn.head.bbox_pred", -2)]);
    model.samples.set_first();
    model.convert(Device::Cpu, Kind::Double);
    let losses = model.losses(&mut Eager::train(), &images(Kind::Double), &targets());
    assert_eq!(losses.len(), 4);
    for (name, loss) in losses.iter() {
        let (got, want) = (loss.double_value(&[]), want[&format!("train.loss.{name}")].double_value(&[0]));
        assert!((got / want - 1.0).abs() < 1e-5, "{name}: {got}, torchvision {want}");
    }
    losses.total().backward();
    let mut compared = 0;
    for entry in model.named_tensors() {
        let Some(want) = want.get(&format!("train.grad.{}", entry.name)) else {
            assert!(!entry.tensor.requires_grad(), "{} is unknown to torchvision", entry.name);
            continue;
        };
        // The floor is for gradients that are zero but for rounding.
        let off = ((summary(&entry.tensor.grad()) - want).abs().max() / (want.get(0) + 1e-4)).double_value(&[]);
        assert!(off < 1e-4, "the gradient of {} is off by {off:.2e} of its norm", entry.name);
        compared += 1;
    }
    assert_eq!(compared, want.keys().filter(|k| k.starts_with("train.grad.")).count());
}

/// Names and shapes of the heads are those of torchvision's published models. (The MobileNet one has 15 anchors per position.)
#[test]
fn names_are_torchvisions() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/faster_rcnn_names.json");
    let want: HashMap<String, BTreeMap<String, Vec<i64>>> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(want.len(), 3);
    for (name, want) in want {
        let v2 = name.ends_with("v2");
        let five = vec![32.0, 64.0, 128.0, 256.0, 512.0];
        let config = FasterRcnnConfig {
            coco_91: true,
            rpn: RpnConfig {
                conv_depth: if v2 { 2 } else { 1 },
                anchor_sizes: name.contains("mobilenet").then(|| vec![five; 5]),
                ..RpnConfig::default()
            },
            box_head: match v2 {
                true => BoxHeadConfig { convs: vec![256; 4], norm: true, fcs: vec![1024], ..BoxHeadConfig::default() },
                false => BoxHeadConfig::default(),
            },
            ..FasterRcnnConfig::default()
        };
        let body = BackboneConfig::default().build_features().unwrap();
        let model = HeadConfig::FasterRcnn(config).build(body, &FpnConfig::default(), 80).unwrap();
        let all = model.named_tensors().into_iter().map(|e| (e.name, e.tensor.size()));
        let got: BTreeMap<String, Vec<i64>> = all.filter(|(n, _)| !n.starts_with("backbone.")).collect();
        assert_eq!(got, want, "{name}");
    }
}

/// Folding changes nothing but rounding, and leaves no norm.
#[test]
fn folds() {
    let mut detector = Detector::Rcnn(Box::new(build(60, &[])));
    let run = |d: &Detector| tch::no_grad(|| d.run_stage(&Stage::Image, &mut Eager::eval(), &images(Kind::Float).pixels));
    let before = run(&detector);
    detector.fuse(FuseLevel::All);
    assert!(detector.named_tensors().iter().all(|e| !e.name.contains("running_mean")), "a batch norm is left");
    for ((name, a), (_, b)) in before.iter().zip(run(&detector)) {
        let (off, largest) = ((a - b).abs().max().double_value(&[]), a.abs().max().double_value(&[]));
        assert!(off <= 1e-4 * largest, "{name}: folding changes {largest} by {off}");
    }
}
