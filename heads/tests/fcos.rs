//! FCOS against torchvision 0.26: numbers from `tools/fixtures/fcos.py`, weights and images by rule.

mod common;

use std::collections::{BTreeMap, HashMap};

use repghost_backbone::synthetic::{fill, input};
use repghost_backbone::{BackboneConfig, Eager, Role, Tree};
use repghost_heads::fcos::{Fcos, FcosConfig, FcosOutputs};
use repghost_heads::{Detector, FpnConfig, HeadConfig, ImageBatch, PostprocessConfig, Target};
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 3;
const PADDED: [i64; 2] = [160, 224];
const SIZES: [[i64; 2]; 3] = [[128, 224], [160, 192], [96, 136]];
/// Factors of the predicting convolutions in inference mode, as in the script.
const EVAL_SCALE: [(&str, f64); 2] =
    [("head.classification_head.cls_logits.weight", 0.25), ("head.regression_head.bbox_ctrness.weight", 0.25)];

type Fixture = HashMap<String, Tensor>;

fn fixture(name: &str) -> Fixture {
    let path = format!("{}/tests/fixtures/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

fn images(kind: Kind) -> ImageBatch {
    let [height, width] = PADDED;
    let pixels = input("images", &[3, 3, height, width]);
    for (i, [h, w]) in SIZES.iter().enumerate() {
        let image = pixels.get(i as i64);
        let _ = image.narrow(1, *h, height - h).zero_();
        let _ = image.narrow(2, *w, width - w).zero_();
    }
    ImageBatch { pixels: pixels.to_kind(kind), sizes: SIZES.to_vec() }
}

fn targets() -> Vec<Target> {
    let first = [
        [4.0, 6.0, 40.5, 38.0],
        [30.0, 20.0, 130.0, 116.0],
        [150.0, 10.0, 162.0, 17.0],
        [8.0, 8.0, 44.0, 40.0],
        [2.0, 30.0, 222.0, 92.0],
    ];
    let second = [[10.0, 12.0, 20.0, 21.0], [50.0, 40.0, 181.0, 150.0]];
    vec![Target::new(&first, &[0, 1, 2, 1, 0]), Target::new(&second, &[2, 0]), Target::empty()]
}

fn detector(kind: Kind) -> Detector {
    let backbone = BackboneConfig { width: 0.5, ..Default::default() }.build_features().unwrap();
    let fpn = FpnConfig { channels: 64, ..Default::default() };
    let detector = HeadConfig::Fcos(FcosConfig::default()).build(backbone, &fpn, CLASSES).unwrap();
    fill(&detector, "");
    detector.convert(Device::Cpu, kind);
    detector
}

fn fcos(detector: &Detector) -> &Fcos {
    let Detector::Fcos(d) = detector else { panic!("an FCOS was built") };
    d
}

fn values(t: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(t.detach().to_kind(Kind::Double).reshape(-1)).unwrap()
}

/// Largest difference, relative to the largest value wanted.
fn worst(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.size(), want.size());
    let scale = values(want).into_iter().fold(0.0, |m: f64, v| v.abs().max(m));
    let differences = values(got).into_iter().zip(values(want)).map(|(a, b)| (a - b).abs() / scale);
    differences.fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { d.max(m) })
}

fn every(t: &Tensor, dim: i64, step: i64) -> Tensor {
    t.slice(dim, 0, None, step)
}

fn assert_close(got: &Tensor, want: &Tensor, limit: f64, what: &str) {
    let off = worst(got, want);
    println!("{what}: {off:.1e}");
    assert!(off < limit, "{what}: off by {off:.1e} of the largest value");
}

/// Outputs and detections. (In single precision distances are off by up to 7e-5 strides, and a stride is up to 128 px.)
#[test]
fn detects_what_torchvision_detects() {
    let want = fixture("fcos");
    for (kind, outputs, pixels, scores) in [(Kind::Double, 1e-7, 1e-3, 1e-6), (Kind::Float, 1e-4, 2e-2, 1e-5)] {
        let mut detector = detector(kind);
        for mut e in detector.named_tensors() {
            if let Some((_, factor)) = EVAL_SCALE.iter().find(|(name, _)| *name == e.name) {
                tch::no_grad(|| e.tensor *= *factor);
            }
        }
        let images = images(kind);
        let raw = tch::no_grad(|| fcos(&detector).raw(&mut Eager::eval(), &images.pixels));
        for (name, got) in [("logits", &raw.logits), ("distances", &raw.distances), ("centerness", &raw.centerness)] {
            assert_close(&every(got, 1, 7), &want[&format!("eval.{name}")], outputs, &format!("{kind:?} {name}"));
        }
        detector.set_postprocess(PostprocessConfig {
            score_threshold: want["eval.score_thresh"].double_value(&[0]),
            nms_threshold: 0.6,
            max_detections: want["eval.max_detections"].int64_value(&[0]) as usize,
            ..Default::default()
        });
        for (i, found) in detector.detect(&images).iter().enumerate() {
            let wanted = |key: &str| &want[&format!("detections.{i}.{key}")];
            assert!(found.len() > 20, "image {i} has detections to compare");
            let wanted = common::detections(wanted("boxes"), wanted("scores"), wanted("labels"), 0);
            let [boxes, off] = common::compare(found, &wanted);
            println!("{kind:?} image {i}: {} boxes, {boxes:.1e} px, scores {off:.1e}", found.len());
            assert!(boxes < pixels && off < scores, "{kind:?} image {i}: boxes off by {boxes:.1e} px, scores by {off:.1e}");
        }
    }
}

/// Points as torchvision's anchors: exact.
#[test]
fn points_are_torchvisions_anchors() {
    let points = fcos(&detector(Kind::Float)).points(PADDED).tensor(Device::Cpu);
    assert_eq!(worst(&every(&points, 0, 7), &fixture("fcos")["anchors"]), 0.0);
}

/// Norm, and up to eight elements at equal distances.
fn summary(t: &Tensor) -> Tensor {
    let flat = t.to_kind(Kind::Double).reshape([-1]);
    let step = (flat.numel() as i64 / 8).max(1);
    Tensor::cat(&[flat.norm().view([1]), every(&flat, 0, step).slice(0, 0, 8, 1)], 0)
}

/// The losses of the whole network, and the gradient of every parameter below `prefix`, relative to its norm.
fn compare_training(kind: Kind, prefix: &str, loss_limit: f64, gradient_limit: f64) {
    let want = fixture("fcos");
    let detector = detector(kind);
    let losses = detector.losses(&mut Eager::train(), &images(kind), &targets());
    assert_eq!(losses.len(), 3);
    for (name, loss) in losses.iter() {
        let (got, want) = (values(loss)[0], values(&want[&format!("train.loss.{name}")])[0]);
        println!("{kind:?} {name}: {got}, torchvision {want}");
        assert!((got - want).abs() <= loss_limit * want.abs(), "{name}: {got}, torchvision {want}");
    }
    losses.total().backward();
    let mut compared = 0;
    let parameters = detector.named_tensors().into_iter().filter(|e| e.role == Role::Parameter && e.name.starts_with(prefix));
    let largest = want.iter().filter(|(k, _)| k.starts_with("train.grad.")).map(|(_, v)| values(v)[0]).fold(0.0, f64::max);
    for e in parameters {
        let want = &want[&format!("train.grad.{}", e.name)];
        // A bias before a batch norm has no effect: its gradient is zero but for rounding.
        let norm = values(want)[0].max(1e-9 * largest);
        let off = values(&(summary(&e.tensor.grad()) - want)).into_iter().fold(0.0, |m: f64, v| v.abs().max(m)) / norm;
        assert!(off < gradient_limit, "{kind:?} {}: off by {off:.1e} of its norm", e.name);
        compared += 1;
    }
    assert_eq!(compared, want.keys().filter(|k| k.starts_with(&format!("train.grad.{prefix}"))).count());
}

#[test]
fn learns_what_torchvision_learns() {
    compare_training(Kind::Double, "", 1e-7, 1e-6);
}

/// The body's gradients agree in double precision only, in torchvision too (`tools/fixtures/retinanet.py`).
#[test]
fn head_and_pyramid_learn_in_single_precision() {
    compare_training(Kind::Float, "head.", 1e-5, 1e-4);
    compare_training(Kind::Float, "backbone.fpn.", 1e-5, 1e-4);
}

/// Losses on raw outputs by rule: values, foreground points, and the gradient of every output.
#[test]
fn raw_outputs_lose_as_in_torchvision() {
    let want = fixture("fcos_losses");
    for (kind, limit) in [(Kind::Float, 1e-5), (Kind::Double, 1e-7)] {
        let detector = detector(kind);
        let a = fcos(&detector).points(PADDED).boxes.len() as i64;
        let leaf = |t: Tensor| (t * 4.0).to_kind(kind).detach().set_requires_grad(true);
        let raw = FcosOutputs {
            logits: leaf(input("logits", &[3, a, CLASSES])),
            distances: leaf(input("distances", &[3, a, 4]).abs()),
            centerness: leaf(input("centerness", &[3, a, 1])),
        };
        let losses = fcos(&detector).losses_of(&raw, PADDED, &targets());
        for (name, loss) in losses.iter() {
            let (got, want) = (values(loss)[0], values(&want[&format!("loss.{name}")])[0]);
            assert!((got - want).abs() <= limit * want.abs(), "{kind:?} {name}: {got}, torchvision {want}");
        }
        losses.total().backward();
        let centerness = raw.centerness.grad().reshape([-1]);
        let foreground = centerness.nonzero().select(1, 0);
        assert_eq!(values(&foreground), values(&want["foreground"]), "the same points are foreground");
        let distances = raw.distances.grad().reshape([-1, 4]).index_select(0, &foreground);
        assert_close(&every(&raw.logits.grad(), 1, 7), &want["grad.logits"], limit, &format!("{kind:?} logits"));
        assert_close(&distances, &want["grad.distances"], limit, &format!("{kind:?} distances"));
        assert_close(&centerness.index_select(0, &foreground), &want["grad.centerness"], limit, &format!("{kind:?} centerness"));
    }
}

/// A batch without any object has a gradient for every parameter, and no box loss.
#[test]
fn trains_on_nothing() {
    let detector = detector(Kind::Float);
    let losses = detector.losses(&mut Eager::train(), &images(Kind::Float), &[Target::empty(), Target::empty(), Target::empty()]);
    for name in ["bbox_regression", "bbox_ctrness"] {
        assert_eq!(losses.get(name).unwrap().double_value(&[]), 0.0);
    }
    losses.total().backward();
    for e in detector.named_tensors().into_iter().filter(|e| e.role == Role::Parameter) {
        let grad = e.tensor.grad();
        assert!(grad.defined() && grad.isfinite().all().int64_value(&[]) == 1, "{} has no finite gradient", e.name);
    }
}

/// Names and shapes are those of torchvision's published model.
#[test]
fn names_are_torchvisions() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fcos_names.json");
    let want: BTreeMap<String, Vec<i64>> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let body = BackboneConfig::named("resnet50").build_features().unwrap();
    let config = FcosConfig { coco_91: true, ..FcosConfig::default() };
    let model = HeadConfig::Fcos(config).build(body, &FpnConfig::default(), 80).unwrap();
    let all = model.named_tensors().into_iter().map(|e| (e.name, e.tensor.size()));
    let got: BTreeMap<String, Vec<i64>> = all.filter(|(n, _)| !n.starts_with("backbone.body.")).collect();
    assert_eq!(got, want);
}

/// Settings that make no detector are refused under their key.
#[test]
fn wrong_settings_are_refused() {
    let refused = [
        ("norm_groups", FcosConfig { norm_groups: 0, ..Default::default() }),
        ("norm_groups", FcosConfig { norm_groups: 48, ..Default::default() }),
        ("center_sampling_radius", FcosConfig { center_sampling_radius: f64::NAN, ..Default::default() }),
        ("focal_alpha", FcosConfig { focal_alpha: 2.0, ..Default::default() }),
        ("prior_probability", FcosConfig { prior_probability: 0.0, ..Default::default() }),
    ];
    for (key, config) in refused {
        let body = BackboneConfig::default().build_features().unwrap();
        let error = HeadConfig::Fcos(config).build(body, &FpnConfig::default(), CLASSES).unwrap_err().to_string();
        assert!(error.starts_with(&format!("model.head.{key}: ")), "{error}");
    }
}
