//! RetinaNet from raw outputs to final detections.

use repghost_heads::box_coder::MAX_LOG_SCALE;
use repghost_heads::retinanet::RetinaNet;
use serde_json::json;
use tch::Device;

use super::detector::DetectionGraph;
use crate::error::ExportError;
use crate::onnx::retinanet::{detect, DetectSpec};
use crate::onnx::suppress::{decode_boxes, CANDIDATES, MAX_TOP_K};
use crate::onnx::{Edge, Nms, OnnxWriter};
use crate::sidecar::{Decoding, BOX_CODER};
use crate::spec::ExportSpec;

/// Divisors of RetinaNet's box offsets.
const UNIT_WEIGHTS: [f64; 4] = [1.0; 4];

impl DetectionGraph for RetinaNet {
    fn detect(
        &self,
        ops: &mut OnnxWriter,
        image: &Edge,
        spec: &ExportSpec,
        nms: Nms,
    ) -> Result<Vec<(String, Edge)>, ExportError> {
        let out = self.raw(ops, image);
        let set = self.anchors(spec.size);
        let all = set.tensor(Device::Cpu);
        let anchors = set.ranges().map(|r| all.narrow(0, r.start as i64, r.len() as i64)).collect();
        let p = &self.decoder.postprocess;
        let spec = DetectSpec {
            labels: &self.decoder.labels,
            anchors,
            activation: Some("Sigmoid"),
            decode: &|ops, deltas, anchors, image| decode_boxes(ops, deltas, anchors, UNIT_WEIGHTS, image),
            image: spec.size,
            pre_nms_top_k: p.pre_nms_top_k as i64,
            candidates: if nms == Nms::Onnx { MAX_TOP_K } else { CANDIDATES },
            score_threshold: p.score_threshold,
            nms_threshold: p.nms_threshold,
            max_detections: p.max_detections as i64,
            nms,
        };
        Ok(detect(ops, &out.logits, &out.deltas, &spec))
    }

    fn decoding(&self) -> Decoding {
        let p = &self.decoder.postprocess;
        let steps = vec![
            "logits [N, A, C], deltas [N, A, 4]: score = sigmoid(logit)",
            BOX_CODER,
            "on each level keep the pre_nms_top_k best (anchor, class) pairs above score_threshold, then suppress within each class by \
             nms_threshold and keep max_detections",
            "output_classes: the class of each output, null where it is none",
        ];
        let constants = json!({
            "box_weights": [1.0, 1.0, 1.0, 1.0], "max_log_ratio": MAX_LOG_SCALE,
            "score_threshold": p.score_threshold, "nms_threshold": p.nms_threshold,
            "pre_nms_top_k": p.pre_nms_top_k, "max_detections": p.max_detections,
            "output_classes": self.decoder.labels.by_output(),
        });
        Decoding { steps, constants }
    }
}
