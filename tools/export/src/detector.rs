//! Detectors as files: raw outputs with a sidecar that tells how to decode them, or the whole way to final detections.

use repghost_heads::retinanet::RetinaNet;
use serde::Serialize;
use tch::Device;

use crate::error::ExportError;
use crate::export::{finish, ExportSpec, INPUT};
use crate::onnx::proto;
use crate::onnx::retinanet::{detect, DetectSpec, Nms};

/// Pairs that enter suppression in a file with plain nodes.
pub const CANDIDATES: i64 = 1000;
/// Divisors of RetinaNet's box offsets.
const UNIT_WEIGHTS: [f64; 4] = [1.0; 4];
/// The coarsest stride of the backbone.
const SIZE_MULTIPLE: i64 = 32;

/// What a reader needs to decode raw outputs, written beside the file as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct RawSidecar {
    /// Name of the input: RGB, scaled to 0..1, minus mean, divided by deviation.
    pub input: &'static str,
    /// Height and width of the input.
    pub size: [i64; 2],
    /// `"retinanet"`.
    pub head: &'static str,
    /// How outputs become scores and boxes, in words.
    pub decode: &'static str,
    /// Least score, IoU of suppression, candidates a level, detections an image.
    pub postprocess: serde_json::Value,
    /// Anchors of each level.
    pub anchors_per_level: Vec<usize>,
    /// All anchors, corners x1, y1, x2, y2 in pixels, in the order of the outputs.
    pub anchors: Vec<[f32; 4]>,
}

const DECODE: &str = "score = sigmoid(logits); with an anchor's centre (cx, cy) and size (w, h) and deltas (dx, dy, dw, dh): \
centre = (cx + dx * w, cy + dy * h), size = (w * exp(min(dw, log(1000 / 16))), h * exp(min(dh, log(1000 / 16)))); clip to the image; \
on each level keep the best candidates above the least score, then suppress within each class";

/// RetinaNet's class logits `[N, A, C]` and box offsets `[N, A, 4]`, with the sidecar.
///
/// # Errors
/// A size that is no multiple of 32.
pub fn raw(net: &RetinaNet, spec: &ExportSpec, metadata: &[(String, String)]) -> Result<(proto::Model, RawSidecar), ExportError> {
    spec.check(SIZE_MULTIPLE)?;
    let (mut ops, image) = spec.begin();
    let out = net.raw(&mut ops, &image);
    let outputs = [("logits".to_string(), out.logits), ("deltas".to_string(), out.deltas)];
    let anchors = net.anchors(spec.size);
    let p = &net.postprocess;
    let sidecar = RawSidecar {
        input: INPUT,
        size: spec.size,
        head: "retinanet",
        decode: DECODE,
        postprocess: serde_json::json!({
            "score_threshold": p.score_threshold, "nms_threshold": p.nms_threshold,
            "pre_nms_top_k": p.pre_nms_top_k, "max_detections": p.max_detections,
        }),
        anchors_per_level: anchors.per_level.clone(),
        anchors: anchors.boxes.clone(),
    };
    Ok((finish(ops, &outputs, "retinanet", metadata), sidecar))
}

/// Image in, boxes, scores and labels out.
///
/// # Errors
/// A size that is no multiple of 32.
pub fn detector(
    net: &RetinaNet,
    spec: &ExportSpec,
    nms: Nms,
    metadata: &[(String, String)],
) -> Result<proto::Model, ExportError> {
    spec.check(SIZE_MULTIPLE)?;
    let (mut ops, image) = spec.begin();
    let out = net.raw(&mut ops, &image);
    let set = net.anchors(spec.size);
    let all = set.tensor(Device::Cpu);
    let anchors = set.ranges().map(|r| all.narrow(0, r.start as i64, r.len() as i64)).collect();
    let p = &net.postprocess;
    let outputs = detect(
        &mut ops,
        &out.logits,
        &out.deltas,
        &DetectSpec {
            anchors,
            weights: UNIT_WEIGHTS,
            image: spec.size,
            pre_nms_top_k: p.pre_nms_top_k as i64,
            candidates: CANDIDATES,
            score_threshold: p.score_threshold,
            nms_threshold: p.nms_threshold,
            max_detections: p.max_detections as i64,
            nms,
        },
    );
    Ok(finish(ops, &outputs, "retinanet", metadata))
}
