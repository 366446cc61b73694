//! Torchvision's numbers (`fixtures/`, links to those of `heads/tests`, which are part of the program) on a device: losses, gradients and detections.
//!
//! The settings are those of the scripts that made the numbers, `tools/fixtures/retinanet.py` and `mask_rcnn.py`; limits are ten times those
//! of the tests on the CPU.

use std::collections::HashMap;

use anyhow::{Context, Result};
use repghost_backbone::synthetic::{fill, input, uniform};
use repghost_backbone::{BackboneConfig, Eager, Role, Tree};
use repghost_heads::losses::BoxLoss;
use repghost_heads::rcnn::config::{BoxHeadConfig, MaskHeadConfig, MaskRcnnConfig, RoiConfig, RpnConfig};
use repghost_heads::retinanet::RetinaNetConfig;
use repghost_heads::{CroppedMask, Detector, ExtraLevels, FpnConfig, HeadConfig, ImageBatch, PostprocessConfig, Target};
use repghost_kernels::device::precision;
use tch::{Device, Kind, Tensor};

use crate::report::Row;

/// Detections are compared as sets, as in the tests on the CPU.
#[path = "../fixtures/compare.rs"]
mod common;

const CLASSES: i64 = 3;
const PADDED: [i64; 2] = [160, 224];
const SIZES: [[i64; 2]; 3] = [[128, 224], [160, 192], [96, 136]];

type Numbers = HashMap<String, Tensor>;

/// A detector of the fixtures.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    mask: bool,
    v2: bool,
    file: &'static [u8],
}

const CASES: [Case; 4] = [
    Case { name: "retinanet v1", mask: false, v2: false, file: include_bytes!("../fixtures/retinanet_v1.safetensors") },
    Case { name: "retinanet v2", mask: false, v2: true, file: include_bytes!("../fixtures/retinanet_v2.safetensors") },
    Case { name: "mask_rcnn v1", mask: true, v2: false, file: include_bytes!("../fixtures/mask_rcnn_v1.safetensors") },
    Case { name: "mask_rcnn v2", mask: true, v2: true, file: include_bytes!("../fixtures/mask_rcnn_v2.safetensors") },
];

/// All of them.
///
/// # Errors
/// A fixture that can't be read.
pub fn all(device: Device) -> Result<Vec<Row>> {
    precision::allow_tf32(false)?;
    let mut rows = Vec::new();
    for case in CASES {
        let numbers = read(case.file)?;
        rows.extend(case.detections(&numbers, device)?);
        // In double precision the sums have digits enough to compare every gradient.
        rows.extend(case.losses(&numbers, device, Kind::Double)?);
        // In single precision the second stage's picks hang on the last digits.
        if !case.mask {
            rows.extend(case.losses(&numbers, device, Kind::Float)?);
        }
    }
    Ok(rows)
}

/// Tensors of a safetensors file in memory.
pub fn read(file: &[u8]) -> Result<Numbers> {
    let views = safetensors::SafeTensors::deserialize(file)?;
    views
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let shape: Vec<i64> = view.shape().iter().map(|d| *d as i64).collect();
            let kind = match view.dtype() {
                safetensors::Dtype::F32 => Kind::Float,
                safetensors::Dtype::F64 => Kind::Double,
                safetensors::Dtype::I64 => Kind::Int64,
                safetensors::Dtype::I32 => Kind::Int,
                safetensors::Dtype::U8 => Kind::Uint8,
                safetensors::Dtype::BOOL => Kind::Bool,
                other => anyhow::bail!("'{name}' is {other:?}, which no fixture has"),
            };
            Ok((name, Tensor::from_data_size(view.data(), &shape, kind)))
        })
        .collect()
}

impl Case {
    fn retinanet(&self) -> Result<Detector> {
        let backbone = BackboneConfig { width: 0.5, ..Default::default() }.build_features()?;
        let extra_levels = Some(if self.v2 { ExtraLevels::P6p7FromC5 } else { ExtraLevels::P6p7FromP5 });
        let fpn = FpnConfig { channels: if self.v2 { 64 } else { 32 }, extra_levels, ..Default::default() };
        let box_loss = if self.v2 { BoxLoss::Giou } else { BoxLoss::L1 };
        let head = RetinaNetConfig { group_norm: self.v2, box_loss, ..Default::default() };
        let mut detector = HeadConfig::RetinaNet(head).build(backbone, &fpn, CLASSES)?;
        detector.set_postprocess(PostprocessConfig { score_threshold: 0.3, ..Default::default() });
        Ok(detector)
    }

    fn mask_rcnn(&self, numbers: &Numbers, train: bool) -> Result<Detector> {
        let mut config = MaskRcnnConfig {
            rpn: RpnConfig {
                conv_depth: if self.v2 { 2 } else { 1 },
                pre_nms_top_n_train: 300,
                pre_nms_top_n_test: 200,
                post_nms_top_n_train: 150,
                post_nms_top_n_test: 60,
                batch_size_per_image: 64,
                ..RpnConfig::default()
            },
            roi: RoiConfig { batch_size_per_image: 64, ..RoiConfig::default() },
            box_head: BoxHeadConfig {
                convs: if self.v2 { vec![32, 32] } else { vec![] },
                fcs: if self.v2 { vec![64] } else { vec![64, 64] },
                norm: self.v2,
                ..BoxHeadConfig::default()
            },
            mask_head: MaskHeadConfig { convs: vec![32, 32], deconv: 24, norm: self.v2, ..MaskHeadConfig::default() },
            ..MaskRcnnConfig::default()
        };
        // Where no pick hangs on rounding: the script chose so.
        let number = |name: &str| numbers.get(name).map(first).context("a setting is missing in a fixture");
        if !train {
            config.rpn.post_nms_top_n_test = number("eval.post_nms_top_n")? as usize;
        }
        let body = BackboneConfig { width: 0.5, ..BackboneConfig::default() }.build_features()?;
        let mut detector =
            HeadConfig::MaskRcnn(config).build(body, &FpnConfig { channels: 32, ..FpnConfig::default() }, CLASSES)?;
        let score_threshold = if train { 0.15 } else { number("eval.score_thresh")? };
        detector.set_postprocess(PostprocessConfig { score_threshold, ..Default::default() });
        Ok(detector)
    }

    /// The detector, with the predicting layers scaled as the scripts do.
    fn build(&self, numbers: &Numbers, train: bool) -> Result<Detector> {
        let detector = if self.mask { self.mask_rcnn(numbers, train)? } else { self.retinanet()? };
        fill(&detector, "");
        let scales: Vec<(&str, f64)> = match (self.mask, self.v2, train) {
            (false, _, true) => vec![],
            (false, v2, false) => vec![
                ("head.classification_head.cls_logits", if v2 { 1.0 / 4.0 } else { 1.0 / 128.0 }),
                ("head.regression_head.bbox_reg", if v2 { 1.0 / 32.0 } else { 1.0 / 1024.0 }),
            ],
            (true, _, true) => vec![("rpn.head.bbox_pred", 0.25)],
            (true, v2, false) => {
                let (boxes, mask) = if v2 { (-7, -4) } else { (-9, -9) };
                vec![
                    ("rpn.head.cls_logits", 2f64.powi(-9)),
                    ("rpn.head.bbox_pred", 2f64.powi(-11)),
                    ("roi_heads.box_predictor.cls_score", 2f64.powi(-9)),
                    ("roi_heads.box_predictor.bbox_pred", 2f64.powi(boxes)),
                    ("roi_heads.mask_predictor.mask_fcn_logits", 2f64.powi(mask)),
                ]
            }
        };
        for mut entry in detector.named_tensors() {
            if let Some((_, scale)) = scales.iter().find(|(name, _)| entry.name == format!("{name}.weight")) {
                let _ = tch::no_grad(|| entry.tensor.g_mul_scalar_(*scale));
            }
        }
        Ok(detector)
    }

    fn images(&self, device: Device, kind: Kind) -> ImageBatch {
        let [height, width] = PADDED;
        let pixels = input(if self.mask { "images.4" } else { "images" }, &[3, 3, height, width]);
        for (i, [h, w]) in SIZES.iter().enumerate() {
            let image = pixels.get(i as i64);
            let _ = image.narrow(1, *h, height - h).zero_();
            let _ = image.narrow(2, *w, width - w).zero_();
        }
        ImageBatch { pixels: pixels.to_kind(kind).to_device(device), sizes: SIZES.to_vec() }
    }

    fn detections(&self, numbers: &Numbers, device: Device) -> Result<Vec<Row>> {
        let mut detector = self.build(numbers, false)?;
        detector.convert(device, Kind::Float);
        if let Some(count) = numbers.get("eval.max_detections") {
            let max_detections = count.int64_value(&[0]) as usize;
            detector.set_postprocess(PostprocessConfig { score_threshold: 0.3, max_detections, ..Default::default() });
        }
        let mut rows = Vec::new();
        for (i, found) in detector.detect(&self.images(device, Kind::Float)).iter().enumerate() {
            let want = |key: &str| numbers.get(&format!("detections.{i}.{key}")).context("a number is missing in a fixture");
            // Torchvision's Mask R-CNN counts classes from 1.
            let want = common::detections(want("boxes")?, want("scores")?, want("labels")?, i64::from(self.mask));
            let [boxes, scores] = common::compare(found, &want);
            let row = |what: &str, error: f64, limit: f64| Row::new(format!("{} image {i} {what}", self.name), error, limit);
            rows.push(row("boxes, pixels", boxes, if self.mask { 0.2 } else { 1e-2 }));
            rows.push(row("scores", scores, if self.mask { 1e-3 } else { 1e-4 }));
        }
        Ok(rows)
    }

    fn losses(&self, numbers: &Numbers, device: Device, kind: Kind) -> Result<Vec<Row>> {
        let detector = self.build(numbers, true)?;
        detector.convert(device, kind);
        if self.mask {
            first_draws(&detector);
        }
        let losses = detector.losses(&mut Eager::train(), &self.images(device, kind), &targets(self.mask));
        let mut rows = Vec::new();
        let exact = kind == Kind::Double && !self.mask;
        for (name, loss) in losses.iter() {
            let want = numbers.get(&format!("train.loss.{name}")).context("a loss is missing in a fixture")?.double_value(&[0]);
            let error = (loss.double_value(&[]) - want).abs() / want.abs();
            rows.push(Row::new(format!("{} {kind:?} {name}", self.name), error, if exact { 1e-6 } else { 1e-3 }));
        }
        losses.total().backward();
        // In single precision the body's gradients don't agree with the truth in torchvision either: heads and pyramid only.
        let compared = |name: &str| kind == Kind::Double || !name.starts_with("backbone.body.");
        let largest = numbers.iter().filter(|(k, _)| k.starts_with("train.grad.")).map(|(_, t)| first(t)).fold(0.0, f64::max);
        let mut worst = Row::new(format!("{} {kind:?} norms of gradients", self.name), 0.0, if exact { 1e-6 } else { 1e-3 });
        for entry in detector.named_tensors().into_iter().filter(|e| e.role == Role::Parameter && compared(&e.name)) {
            let Some(want) = numbers.get(&format!("train.grad.{}", entry.name)).map(first) else { continue };
            let norm = entry.tensor.grad().to_kind(Kind::Double).norm().double_value(&[]);
            // A gradient that is zero but for rounding has no digits to compare.
            let error = (norm - want).abs() / (want + 1e-6 * largest);
            if error.is_nan() || error > worst.error {
                worst = Row::new(format!("{} {kind:?} norm of the gradient of {}", self.name, entry.name), error, worst.limit);
            }
        }
        rows.push(worst);
        Ok(rows)
    }
}

/// The fixtures' draws: the first candidates, without chance.
fn first_draws(detector: &Detector) {
    if let Detector::Rcnn(detector) = detector {
        detector.samples.set_first();
    }
}

fn first(t: &Tensor) -> f64 {
    t.reshape([-1]).double_value(&[0])
}

fn targets(mask: bool) -> Vec<Target> {
    // The third box differs between the two scripts, and the first of the second image.
    let third = if mask { [150.0, 10.0, 172.0, 27.0] } else { [150.0, 10.0, 162.0, 17.0] };
    let small = if mask { [10.0, 12.0, 30.0, 31.0] } else { [10.0, 12.0, 20.0, 21.0] };
    let boxes: [Vec<[f32; 4]>; 3] = [
        vec![[4.0, 6.0, 40.5, 38.0], [30.0, 20.0, 130.0, 116.0], third, [8.0, 8.0, 44.0, 40.0], [2.0, 30.0, 222.0, 92.0]],
        vec![small, [50.0, 40.0, 181.0, 150.0]],
        vec![],
    ];
    let labels: [&[i64]; 3] = [&[0, 1, 2, 1, 0], &[2, 0], &[]];
    let target = |(i, (boxes, labels)): (usize, (&Vec<[f32; 4]>, &&[i64]))| {
        let bits = |(j, b): (usize, &[f32; 4])| {
            let [left, top, right, bottom] = [b[0].floor() as i64, b[1].floor() as i64, b[2].ceil() as i64, b[3].ceil() as i64];
            let size = [bottom - top, right - left].map(|side| side as usize);
            let bits = uniform(&format!("mask.{i}.{j}"), size[0] * size[1]).iter().map(|u| u8::from(*u > -0.3)).collect();
            CroppedMask { origin: [left, top], size, bits }
        };
        let masks = mask.then(|| boxes.iter().enumerate().map(bits).collect());
        Target { masks, ..Target::new(boxes, labels) }
    };
    boxes.iter().zip(&labels).enumerate().map(target).collect()
}
