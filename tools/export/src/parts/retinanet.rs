//! RetinaNet from raw outputs to final detections.

use repghost_heads::box_coder::MAX_LOG_SCALE;
use repghost_heads::retinanet::RetinaNet;

use super::detector::DetectionGraph;
use crate::error::ExportError;
use crate::onnx::dense::{detect, DetectSpec};
use crate::onnx::suppress::decode_boxes;
use crate::onnx::{Edge, Nms, OnnxWriter};
use crate::sidecar::{dense_constants, Decoding, BOX_CODER, DENSE_SUPPRESSION, OUTPUT_CLASSES};
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
        let (d, anchors) = (&self.decoder, self.anchors(spec.size));
        let decode =
            |ops: &mut OnnxWriter, deltas: &Edge, anchors: &Edge, image| decode_boxes(ops, deltas, anchors, UNIT_WEIGHTS, image);
        let spec = DetectSpec {
            activation: Some("Sigmoid"),
            ..DetectSpec::new(&d.labels, &d.postprocess, &anchors, &decode, spec.size, nms)
        };
        Ok(detect(ops, &out.logits, &out.deltas, &spec))
    }

    fn decoding(&self) -> Decoding {
        let steps =
            vec!["logits [N, A, C], deltas [N, A, 4]: score = sigmoid(logit)", BOX_CODER, DENSE_SUPPRESSION, OUTPUT_CLASSES];
        let mut constants = dense_constants(&self.decoder.labels, &self.decoder.postprocess);
        constants["box_weights"] = UNIT_WEIGHTS.to_vec().into();
        constants["max_log_ratio"] = MAX_LOG_SCALE.into();
        Decoding { steps, constants }
    }
}
