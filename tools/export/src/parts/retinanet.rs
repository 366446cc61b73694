//! RetinaNet as files: raw outputs with a sidecar that tells how to decode them, or the whole way to final detections.

use repghost_heads::retinanet::RetinaNet;
use repghost_train::detection::model::Class;
use tch::Device;

use super::files::{Built, File};
use crate::error::ExportError;
use crate::onnx::proto;
use crate::onnx::retinanet::{detect, DetectSpec};
use crate::onnx::suppress::{CANDIDATES, MAX_TOP_K};
use crate::onnx::Nms;
use crate::sidecar;
use crate::spec::{finish, ExportSpec, SIZE_MULTIPLE};

/// Divisors of RetinaNet's box offsets.
const UNIT_WEIGHTS: [f64; 4] = [1.0; 4];

/// RetinaNet's class logits `[N, A, C]` and box offsets `[N, A, 4]`, with the sidecar.
///
/// # Errors
/// A size that is no multiple of 32.
pub fn raw(net: &RetinaNet, spec: &ExportSpec, classes: &[Class], metadata: &[(String, String)]) -> Result<Built, ExportError> {
    spec.check(SIZE_MULTIPLE)?;
    let (mut ops, image) = spec.begin();
    let out = net.raw(&mut ops, &image);
    let outputs = [("logits".to_string(), out.logits), ("deltas".to_string(), out.deltas)];
    let model = finish(ops, &outputs, "retinanet", metadata);
    Ok(Built { files: vec![File { suffix: "", model }], sidecar: Some(sidecar::retinanet(net, spec, classes)) })
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
            layout: &net.layout,
            anchors,
            weights: UNIT_WEIGHTS,
            image: spec.size,
            pre_nms_top_k: p.pre_nms_top_k as i64,
            candidates: if nms == Nms::Onnx { MAX_TOP_K } else { CANDIDATES },
            score_threshold: p.score_threshold,
            nms_threshold: p.nms_threshold,
            max_detections: p.max_detections as i64,
            nms,
        },
    );
    Ok(finish(ops, &outputs, "retinanet", metadata))
}
