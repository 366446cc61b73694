//! Faster and Mask R-CNN from the first stage's outputs to final detections.

use repghost_heads::box_coder::MAX_LOG_SCALE;
use repghost_heads::model::DetectorModel;
use repghost_heads::rcnn::Rcnn;
use repghost_heads::Stage;
use serde_json::json;

use super::detector::DetectionGraph;
use crate::error::ExportError;
use crate::onnx::rcnn as graph;
use crate::onnx::{Edge, Nms, OnnxWriter};
use crate::sidecar::{Decoding, BOX_CODER, OUTPUT_CLASSES};
use crate::spec::{BatchSize, ExportSpec};

impl DetectionGraph for Rcnn {
    fn detect(
        &self,
        ops: &mut OnnxWriter,
        image: &Edge,
        spec: &ExportSpec,
        nms: Nms,
    ) -> Result<Vec<(String, Edge)>, ExportError> {
        if nms == Nms::Onnx && spec.batch != BatchSize::Fixed(1) {
            let name = DetectorModel::name(self);
            let why = format!("it takes batch 1 for {name}, since the number of regions differs from image to image");
            return Err(ExportError::Option { option: "nms", value: "onnx".into(), why });
        }
        let out = self.stage_one(ops, image);
        // What follows reads pooled regions.
        ops.region = None;
        match nms {
            Nms::Plain { rounds } => graph::plain::detect(ops, self, out, spec.size, rounds),
            Nms::Onnx => Ok(graph::standard::detect(ops, self, out, spec.size)),
        }
    }

    fn decoding(&self) -> Decoding {
        let (c, p, stages) = (self.config(), &self.decoder.postprocess, self.decoder.stages());
        let mut steps = vec![
            "FILE.onnx: images to maps P2, P3, … and, at the anchors, objectness [N, A, 1] and deltas [N, A, 4]",
            BOX_CODER,
            "proposals: on each level the pre_nms_top_n best anchors, decoded with rpn_box_weights; within each level suppressed by \
             rpn_nms_threshold; of all levels the post_nms_top_n best",
            "regions are pooled by RoIAlign (aligned = false, sampling_ratio; 0 means adaptive) from the level \
             floor(4 + log2(sqrt(area) / 224)), limited to the levels there are",
            "FILE.boxes.onnx: regions [R, channels, box_pool, box_pool] to logits [R, outputs] (output 0 is the background; softmax) and \
             deltas [R, 4 * outputs], decoded from the proposals with box_weights; suppress within each class by nms_threshold, keep \
             max_detections",
        ];
        let mut constants = json!({
            "rpn_box_weights": [1.0, 1.0, 1.0, 1.0], "box_weights": c.roi.bbox_reg_weights, "max_log_ratio": MAX_LOG_SCALE,
            "pre_nms_top_n": c.rpn.pre_nms_top_n_test, "post_nms_top_n": c.rpn.post_nms_top_n_test,
            "rpn_nms_threshold": c.rpn.nms_thresh, "rpn_score_threshold": c.rpn.score_thresh,
            "levels": c.pooled_levels(), "sampling_ratio": c.roi.sampling_ratio,
            "channels": self.backbone.fpn.channels(), "box_pool": c.box_head.pool,
            "score_threshold": p.score_threshold, "nms_threshold": p.nms_threshold, "max_detections": p.max_detections,
            "output_classes": self.decoder.labels.by_output(),
        });
        if let Some(Stage::Masks(regions)) = stages.last() {
            steps.push(
                "FILE.masks.onnx: regions of the kept boxes [R, channels, mask_pool, mask_pool] to masks [R, outputs, 28, 28]; \
                 sigmoid of the box's own class",
            );
            constants["mask_pool"] = regions.side.into();
        }
        steps.push(OUTPUT_CLASSES);
        Decoding { steps, constants }
    }
}
