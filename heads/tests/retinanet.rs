//! RetinaNet against torchvision 0.26: numbers from `tools/fixtures/retinanet.py`, weights and images by rule.

mod common;

use std::collections::HashMap;

use repghost_backbone::synthetic::{fill, input};
use repghost_backbone::{BackboneConfig, Eager, Role, Tree};
use repghost_heads::losses::BoxLoss;
use repghost_heads::retinanet::{RawOutputs, RetinaNet, RetinaNetConfig};
use repghost_heads::{Detector, ExtraLevels, FpnConfig, HeadConfig, ImageBatch, PostprocessConfig, Target};
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 3;
const PADDED: [i64; 2] = [160, 224];
const SIZES: [[i64; 2]; 3] = [[128, 224], [160, 192], [96, 136]];
const LOSSES: [(&str, BoxLoss); 3] = [("l1", BoxLoss::L1), ("smooth_l1", BoxLoss::SmoothL1), ("giou", BoxLoss::Giou)];

type Fixture = HashMap<String, Tensor>;

fn fixture(name: &str) -> Fixture {
    let path = format!("{}/tests/fixtures/retinanet_{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

fn images() -> ImageBatch {
    let [height, width] = PADDED;
    let pixels = input("images", &[3, 3, height, width]);
    for (i, [h, w]) in SIZES.iter().enumerate() {
        let image = pixels.get(i as i64);
        let _ = image.narrow(1, *h, height - h).zero_();
        let _ = image.narrow(2, *w, width - w).zero_();
    }
    ImageBatch { pixels, sizes: SIZES.to_vec() }
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

/// torchvision's first or second form, small.
fn detector(v2: bool, box_loss: BoxLoss) -> Detector {
    let backbone = BackboneConfig { width: 0.5, ..Default::default() }.build_features().unwrap();
    let extra_levels = Some(if v2 { ExtraLevels::P6p7FromC5 } else { ExtraLevels::P6p7FromP5 });
    let fpn = FpnConfig { channels: if v2 { 64 } else { 32 }, extra_levels, ..Default::default() };
    let head = RetinaNetConfig { group_norm: v2, box_loss, ..Default::default() };
    let mut detector = HeadConfig::RetinaNet(head).build(backbone, &fpn, CLASSES).unwrap();
    detector.set_postprocess(PostprocessConfig { score_threshold: 0.3, ..Default::default() });
    fill(&detector, "");
    detector
}

fn retinanet(detector: &Detector) -> &RetinaNet {
    let Detector::RetinaNet(d) = detector else { panic!("a RetinaNet was built") };
    d
}

/// In inference mode the fixture scales the predicting convolutions (the script gives the reason).
fn scale_predictions(detector: &Detector, v2: bool) {
    let (logits, deltas) = if v2 { (1.0 / 4.0, 1.0 / 32.0) } else { (1.0 / 128.0, 1.0 / 1024.0) };
    for mut e in detector.named_tensors() {
        match e.name.as_str() {
            "head.classification_head.cls_logits.weight" => tch::no_grad(|| e.tensor *= logits),
            "head.regression_head.bbox_reg.weight" => tch::no_grad(|| e.tensor *= deltas),
            _ => {}
        }
    }
}

fn values(t: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(t.detach().to_kind(Kind::Double).reshape(-1)).unwrap()
}

/// Largest difference, relative to `scale`.
fn worst(got: &Tensor, want: &Tensor, scale: f64) -> f64 {
    assert_eq!(got.size(), want.size());
    values(got).iter().zip(values(want)).map(|(a, b)| (a - b).abs() / scale).fold(0.0, |m, d| {
        if d.is_nan() {
            f64::INFINITY
        } else {
            d.max(m)
        }
    })
}

fn largest(t: &Tensor) -> f64 {
    values(t).iter().fold(0.0, |m, v| v.abs().max(m))
}

fn sampled(t: &Tensor, dim: i64) -> Tensor {
    t.slice(dim, 0, None, 23)
}

fn head_outputs_anchors_and_detections(v2: bool, name: &str) {
    let (fixture, mut detector, images) = (fixture(name), detector(v2, BoxLoss::L1), images());
    scale_predictions(&detector, v2);
    for (kind, limit) in [(Kind::Double, 1e-7), (Kind::Float, 1e-4)] {
        detector.convert(Device::Cpu, kind);
        let raw = tch::no_grad(|| retinanet(&detector).raw(&mut Eager::eval(), &images.pixels.to_kind(kind)));
        for (key, got) in [("eval.logits", &raw.logits), ("eval.deltas", &raw.deltas)] {
            let want = &fixture[key];
            let d = worst(&sampled(got, 1), want, largest(want));
            println!("{name} {key} {kind:?}: {d:.1e}");
            assert!(d < limit, "{key}: {d}");
        }
    }
    let anchors = retinanet(&detector).anchors(PADDED).tensor(Device::Cpu);
    assert_eq!(worst(&sampled(&anchors, 0), &fixture["anchors"], 1.0), 0.0, "anchors are exact");

    // As many detections as hang on no rounding: the script chose the number.
    let max_detections = fixture["eval.max_detections"].int64_value(&[0]) as usize;
    detector.set_postprocess(PostprocessConfig { score_threshold: 0.3, max_detections, ..Default::default() });
    for (i, found) in detector.detect(&images).iter().enumerate() {
        let want = |key: &str| &fixture[&format!("detections.{i}.{key}")];
        let wanted = common::detections(want("boxes"), want("scores"), want("labels"), 0);
        let [boxes, scores] = common::compare(found, &wanted);
        println!("{name} image {i}: {} boxes, {boxes:.1e} px, scores {scores:.1e}", found.len());
        assert!(boxes < 1e-3 && scores < 1e-5, "image {i}: boxes {boxes} px, scores {scores}");
    }
}

/// Losses, and the gradients of the parameters whose name starts with `prefix`.
fn losses_and_gradients(v2: bool, name: &str, kind: Kind, prefix: &str) -> Vec<Compared> {
    let fixture = fixture(name);
    let detector = detector(v2, if v2 { BoxLoss::Giou } else { BoxLoss::L1 });
    detector.convert(Device::Cpu, kind);
    let images = ImageBatch { pixels: images().pixels.to_kind(kind), sizes: SIZES.to_vec() };
    let losses = detector.losses(&mut Eager::train(), &images, &targets());
    let limit = if kind == Kind::Double { 1e-10 } else { 1e-5 };
    for (key, loss) in losses.iter() {
        let (got, want) = (values(loss)[0], values(&fixture[&format!("train.loss.{key}")])[0]);
        println!("{name} {kind:?} {key}: {got} {want}");
        assert!((got - want).abs() <= limit * want.abs(), "{key}: {got}, torchvision {want}");
    }
    losses.total().backward();
    let parameters = detector.named_tensors().into_iter().filter(|e| e.role == Role::Parameter && e.name.starts_with(prefix));
    let compared: Vec<Compared> = parameters
        .map(|e| Compared::new(&e.name, &e.tensor.grad(), &values(&fixture[&format!("train.grad.{}", e.name)])))
        .collect();
    let present = fixture.keys().filter(|k| k.starts_with(&format!("train.grad.{prefix}"))).count();
    assert_eq!(compared.len(), present, "every parameter of torchvision's has its counterpart by name");
    compared
}

/// One gradient against torchvision's.
struct Compared {
    name: String,
    norm: f64,
    /// torchvision's norm.
    truth: f64,
    /// Largest error of eight elements, relative to the element or to the root mean square of the tensor, whichever is larger: an
    /// element that happens to be near zero has no digits to agree on.
    sample_error: f64,
}

impl Compared {
    /// `want` holds the norm and eight elements at equal distances.
    fn new(name: &str, gradient: &Tensor, want: &[f64]) -> Self {
        let gradient = gradient.to_kind(Kind::Double).reshape(-1);
        let rms = want[0] / (gradient.numel() as f64).sqrt();
        let samples = values(&gradient.slice(0, 0, None, (gradient.numel() / 8).max(1) as i64));
        let sample_error = samples.iter().zip(&want[1..]).map(|(a, b)| (a - b).abs() / b.abs().max(rms)).fold(0.0, f64::max);
        Self { name: name.to_string(), norm: values(&gradient.norm())[0], truth: want[0], sample_error }
    }

    fn norm_error(&self) -> f64 {
        (self.norm - self.truth).abs() / self.truth
    }
}

/// In double precision every gradient agrees, in norm and element by element.
fn all_gradients(v2: bool, name: &str) {
    let compared = losses_and_gradients(v2, name, Kind::Double, "");
    let largest = compared.iter().map(|c| c.truth).fold(0.0, f64::max);
    // A bias between a convolution and a batch norm has no effect: its gradient is zero, here and there.
    let (dead, alive): (Vec<_>, Vec<_>) = compared.into_iter().partition(|c| c.truth < 1e-12 * largest);
    for c in &dead {
        assert!(c.norm < 1e-12 * largest, "{}: {} where torchvision has {}", c.name, c.norm, c.truth);
    }
    let norms = alive.iter().map(Compared::norm_error).fold(0.0, f64::max);
    let samples = alive.iter().map(|c| c.sample_error).fold(0.0, f64::max);
    println!("{name}: {} gradients, norms {norms:.1e}, samples {samples:.1e}; {} are zero", alive.len(), dead.len());
    assert!(alive.len() > 350 && dead.len() < 10);
    for c in alive {
        assert!(c.norm_error() < 1e-8 && c.sample_error < 1e-7, "{}: {} {} {}", c.name, c.norm, c.truth, c.sample_error);
    }
}

/// In single precision the gradients of head and pyramid agree in norm. (Those of the body do not agree with the truth in single
/// precision in torchvision either: `tools/fixtures/retinanet.py` gives the reason.)
fn gradients_in_single_precision(v2: bool, name: &str) {
    for prefix in ["head.", "backbone.fpn."] {
        let compared = losses_and_gradients(v2, name, Kind::Float, prefix);
        let norms = compared.iter().map(Compared::norm_error).fold(0.0, f64::max);
        println!("{name} {prefix}: {} gradients, norms {norms:.1e}", compared.len());
        for c in compared {
            assert!(c.norm_error() < 1e-4, "{}: {}, torchvision {}", c.name, c.norm, c.truth);
        }
    }
}

/// All box losses on raw outputs by rule: values, and the gradient of every logit and offset.
fn losses_of_raw_outputs(kind: Kind, loss_limit: f64, gradient_limit: f64) {
    let fixture = fixture("losses");
    for (loss_name, box_loss) in LOSSES {
        let detector = detector(false, box_loss);
        let anchors = retinanet(&detector).anchors(PADDED);
        let a = anchors.boxes.len() as i64;
        let leaf = |t: Tensor| t.to_kind(kind).detach().set_requires_grad(true);
        let raw = RawOutputs { logits: leaf(input("logits", &[3, a, CLASSES]) * 4.0), deltas: leaf(input("deltas", &[3, a, 4])) };
        let losses = retinanet(&detector).losses_of(&raw, PADDED, &targets());
        for (key, loss) in losses.iter() {
            let (got, want) = (values(loss)[0], values(&fixture[&format!("{loss_name}.loss.{key}")])[0]);
            println!("{loss_name} {kind:?} {key}: {got} {want}");
            assert!((got - want).abs() <= loss_limit * want.abs(), "{key}: {got}, torchvision {want}");
        }
        losses.total().backward();
        let rows = raw.deltas.grad().reshape([-1, 4]);
        let foreground = rows.abs().sum_dim_intlist(1, false, kind).nonzero().select(1, 0);
        assert_eq!(values(&foreground), values(&fixture["foreground"]), "{loss_name}: the same anchors are foreground");
        let compare = |got: &Tensor, key: &str| {
            let want = &fixture[key];
            let error = worst(got, want, largest(want));
            println!("{key} {kind:?}: {error:.1e}");
            assert!(error < gradient_limit, "{key}: {error}");
        };
        compare(&rows.index_select(0, &foreground), &format!("{loss_name}.grad.deltas"));
        compare(&raw.logits.grad().slice(1, 0, None, 17), "grad.logits");
    }
}

#[test]
fn v1_outputs_and_detections() {
    head_outputs_anchors_and_detections(false, "v1");
}

#[test]
fn v2_outputs_and_detections() {
    head_outputs_anchors_and_detections(true, "v2");
}

#[test]
fn v1_gradients() {
    all_gradients(false, "v1");
}

#[test]
fn v2_gradients() {
    all_gradients(true, "v2");
}

#[test]
fn v1_single_precision() {
    gradients_in_single_precision(false, "v1");
}

#[test]
fn v2_single_precision() {
    gradients_in_single_precision(true, "v2");
}

#[test]
fn raw_outputs() {
    losses_of_raw_outputs(Kind::Float, 1e-6, 1e-5);
    losses_of_raw_outputs(Kind::Double, 1e-12, 1e-12);
}
