//! Mask R-CNN as files: its two stages with a sidecar, or the whole way to detections with masks.

use repghost_heads::mask_rcnn::MaskRcnn;
use repghost_train::detection::model::Class;

use super::files::{Built, File};
use crate::error::ExportError;
use crate::onnx::graph::DYNAMIC;
use crate::onnx::mask_rcnn as graph;
use crate::onnx::proto;
use crate::onnx::Nms;
use crate::onnx::{ElementType, OnnxWriter};
use crate::sidecar;
use crate::spec::{finish, BatchSize, ExportSpec, SIZE_MULTIPLE};

/// Input of the second stage's files: pooled regions `[R, C, bins, bins]`.
pub const REGIONS: &str = "regions";
/// Suffix of the file with the box head.
pub const BOXES: &str = ".boxes";
/// Suffix of the file with the mask head.
pub const MASKS: &str = ".masks";

/// Stage one (maps, objectness and offsets at the anchors), the box head and the mask head, with the sidecar.
///
/// # Errors
/// A size that is no multiple of 32.
pub fn raw(net: &MaskRcnn, spec: &ExportSpec, classes: &[Class], metadata: &[(String, String)]) -> Result<Built, ExportError> {
    spec.check(SIZE_MULTIPLE)?;
    let (mut ops, image) = spec.begin();
    let out = net.stage_one(&mut ops, &image);
    let levels = &net.config().levels;
    let mut outputs: Vec<(String, _)> = levels.iter().map(|l| format!("P{l}")).zip(out.pyramid).collect();
    outputs.push(("objectness".into(), out.rpn.logits));
    outputs.push(("deltas".into(), out.rpn.deltas));
    let stage_one = finish(ops, &outputs, "mask_rcnn", metadata);

    let begin = |pool: usize| {
        let mut ops = OnnxWriter::new(spec.precision);
        let shape = [DYNAMIC, net.backbone.fpn.channels(), pool as i64, pool as i64];
        let regions = ops.graph.input(REGIONS, &shape, ElementType::F32);
        let regions = ops.cast(&regions, spec.precision);
        (ops, regions)
    };
    let (mut ops, regions) = begin(net.config().box_head.pool);
    let out = net.box_stage(&mut ops, &regions);
    let boxes = finish(ops, &[("logits".into(), out.logits), ("deltas".into(), out.deltas)], "mask_rcnn_boxes", metadata);
    let (mut ops, regions) = begin(net.config().mask_head.pool);
    let out = net.mask_stage(&mut ops, &regions);
    let masks = finish(ops, &[("masks".into(), out)], "mask_rcnn_masks", metadata);
    let file = |suffix, model| File { suffix, model };
    Ok(Built {
        files: vec![file("", stage_one), file(BOXES, boxes), file(MASKS, masks)],
        sidecar: Some(sidecar::mask_rcnn(net, spec, classes)),
    })
}

/// Image in, boxes, scores, labels and masks out.
///
/// # Errors
/// A size that is no multiple of 32; adaptive RoIAlign sampling in plain operators; a batch other than 1 with [`Nms::Onnx`].
pub fn detector(net: &MaskRcnn, spec: &ExportSpec, nms: Nms, metadata: &[(String, String)]) -> Result<proto::Model, ExportError> {
    spec.check(SIZE_MULTIPLE)?;
    let (mut ops, image) = spec.begin();
    let out = net.stage_one(&mut ops, &image);
    let outputs = match nms {
        Nms::Plain => graph::plain::detect(&mut ops, net, out, spec.size)?,
        Nms::Onnx if spec.batch != BatchSize::Fixed(1) => {
            let why = "--nms onnx takes --batch 1 for Mask R-CNN, since the number of regions differs from image to image";
            return Err(ExportError::Part { part: "detector", why: why.into() });
        }
        Nms::Onnx => graph::standard::detect(&mut ops, net, out, spec.size),
    };
    Ok(finish(ops, &outputs, "mask_rcnn", metadata))
}
