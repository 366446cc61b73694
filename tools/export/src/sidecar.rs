//! How to decode raw outputs: everything that a reader in another language needs, as JSON beside the file.

use repghost_coco::Normalize;
use repghost_heads::anchors::AnchorSet;
use repghost_heads::mask_rcnn::MaskRcnn;
use repghost_heads::retinanet::RetinaNet;
use repghost_train::detection::model::Class;
use serde::Serialize;
use serde_json::{json, Value};

use crate::spec::{ExportSpec, INPUT};

/// The sidecar.
#[derive(Clone, Debug, Serialize)]
pub struct RawSidecar {
    /// `"retinanet"` or `"mask_rcnn"`.
    pub head: &'static str,
    /// Name of the image input.
    pub input: &'static str,
    /// Height and width of the image input.
    pub size: [i64; 2],
    /// How a picture becomes the input.
    pub preprocess: Value,
    /// Class names and category ids, by label.
    pub classes: Vec<Class>,
    /// How outputs become scores and boxes, in words.
    pub decode: Vec<&'static str>,
    /// Numbers that the words refer to.
    pub constants: Value,
    /// Anchors of each level.
    pub anchors_per_level: Vec<usize>,
    /// All anchors, corners x1, y1, x2, y2 in pixels, in the order of the outputs.
    pub anchors: Vec<[f32; 4]>,
}

const BOX_CODER: &str = "a box from an anchor of centre (cx, cy) and size (w, h) and deltas (dx, dy, dw, dh), divided by the weights: \
centre = (cx + dx * w, cy + dy * h), size = (w * exp(min(dw, max_log_ratio)), h * exp(min(dh, max_log_ratio))); clipped to the image";

fn preprocess() -> Value {
    let n = Normalize::default();
    json!({
        "channels": "RGB",
        "layout": "NCHW",
        "resize": "keep the aspect ratio; the larger of width / size[1] and height / size[0] becomes 1; bilinear, antialiased",
        "normalize": "(byte / 255 - mean) / std",
        "mean": n.mean,
        "std": n.std,
        "pad": "zeros at the right and at the bottom, after normalisation",
    })
}

fn sidecar(
    head: &'static str,
    spec: &ExportSpec,
    classes: &[Class],
    anchors: &AnchorSet,
    decode: Vec<&'static str>,
    constants: Value,
) -> RawSidecar {
    RawSidecar {
        head,
        input: INPUT,
        size: spec.size,
        preprocess: preprocess(),
        classes: classes.to_vec(),
        decode,
        constants,
        anchors_per_level: anchors.per_level.clone(),
        anchors: anchors.boxes.clone(),
    }
}

/// Of RetinaNet.
pub fn retinanet(net: &RetinaNet, spec: &ExportSpec, classes: &[Class]) -> RawSidecar {
    let p = &net.postprocess;
    let decode = vec![
        "logits [N, A, C], deltas [N, A, 4]: score = sigmoid(logit)",
        BOX_CODER,
        "on each level keep the pre_nms_top_k best (anchor, class) pairs above score_threshold, then suppress within each class by \
         nms_threshold and keep max_detections",
    ];
    let constants = json!({
        "box_weights": [1.0, 1.0, 1.0, 1.0], "max_log_ratio": repghost_heads::box_coder::MAX_LOG_SCALE,
        "score_threshold": p.score_threshold, "nms_threshold": p.nms_threshold,
        "pre_nms_top_k": p.pre_nms_top_k, "max_detections": p.max_detections,
    });
    sidecar("retinanet", spec, classes, &net.anchors(spec.size), decode, constants)
}

/// Of Mask R-CNN.
pub fn mask_rcnn(net: &MaskRcnn, spec: &ExportSpec, classes: &[Class]) -> RawSidecar {
    let c = net.config();
    let decode = vec![
        "FILE.onnx: images to maps P2, P3, … and, at the anchors, objectness [N, A, 1] and deltas [N, A, 4]",
        BOX_CODER,
        "proposals: on each level the pre_nms_top_n best anchors, decoded with rpn_box_weights; within each level suppressed by \
         rpn_nms_threshold; of all levels the post_nms_top_n best",
        "regions are pooled by RoIAlign (aligned = false, sampling_ratio; 0 means adaptive) from the level \
         floor(4 + log2(sqrt(area) / 224)), limited to the levels there are",
        "FILE.boxes.onnx: regions [R, channels, box_pool, box_pool] to logits [R, outputs] (output 0 is the background; softmax) and \
         deltas [R, 4 * outputs], decoded from the proposals with box_weights; suppress within each class by nms_threshold, keep \
         max_detections",
        "FILE.masks.onnx: regions of the kept boxes [R, channels, mask_pool, mask_pool] to masks [R, outputs, 28, 28]; \
         sigmoid of the box's own class",
        "output_classes: the class of each output, null where it is none",
    ];
    let constants = json!({
        "rpn_box_weights": [1.0, 1.0, 1.0, 1.0], "box_weights": c.roi.bbox_reg_weights,
        "max_log_ratio": repghost_heads::box_coder::MAX_LOG_SCALE,
        "pre_nms_top_n": c.rpn.pre_nms_top_n_test, "post_nms_top_n": c.rpn.post_nms_top_n_test,
        "rpn_nms_threshold": c.rpn.nms_thresh, "rpn_score_threshold": c.rpn.score_thresh,
        "levels": c.levels, "sampling_ratio": c.roi.sampling_ratio,
        "channels": net.backbone.fpn.channels(), "box_pool": c.box_head.pool, "mask_pool": c.mask_head.pool,
        "score_threshold": net.limits.score, "nms_threshold": net.limits.iou, "max_detections": net.limits.count,
        "output_classes": net.layout.by_output(),
    });
    sidecar("mask_rcnn", spec, classes, &net.anchors(spec.size), decode, constants)
}
