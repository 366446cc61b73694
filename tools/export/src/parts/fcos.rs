//! FCOS from raw outputs to final detections.

use repghost_backbone::Ops;
use repghost_heads::fcos::Fcos;

use super::detector::DetectionGraph;
use crate::error::ExportError;
use crate::onnx::dense::{detect, DetectSpec};
use crate::onnx::{Attribute, Edge, ElementType, Nms, OnnxWriter};
use crate::sidecar::{dense_constants, Decoding, DENSE_SUPPRESSION, OUTPUT_CLASSES};
use crate::spec::ExportSpec;

impl DetectionGraph for Fcos {
    fn detect(
        &self,
        ops: &mut OnnxWriter,
        image: &Edge,
        spec: &ExportSpec,
        nms: Nms,
    ) -> Result<Vec<(String, Edge)>, ExportError> {
        let out = self.raw(ops, image);
        let scores = ops.scope("scores", |ops| scores(ops, &out.logits, &out.centerness));
        let d = &self.decoder;
        let spec = DetectSpec::new(&d.labels, &d.postprocess, &self.points(spec.size), &decode, spec.size, nms);
        Ok(detect(ops, &scores, &out.distances, &spec))
    }

    fn decoding(&self) -> Decoding {
        let steps = vec![
            "logits [N, A, C], distances [N, A, 4], centerness [N, A, 1]: score = sqrt(sigmoid(logit) * sigmoid(centerness))",
            "a box from an anchor of centre (cx, cy) and size (w, h) and distances (l, t, r, b): corners (cx - l * w, cy - t * h, \
             cx + r * w, cy + b * h), clipped to the image",
            DENSE_SUPPRESSION,
            OUTPUT_CLASSES,
        ];
        Decoding { steps, constants: dense_constants(&self.decoder.labels, &self.decoder.postprocess) }
    }
}

/// Geometric means of class probabilities `[N, A, C]` and centerness `[N, A, 1]`.
fn scores(ops: &mut OnnxWriter, logits: &Edge, centerness: &Edge) -> Edge {
    let [classes, centerness] = [logits, centerness].map(|x| {
        let x = ops.cast(x, ElementType::F32);
        ops.op("Sigmoid", &[&x], &[], x.shape.clone())
    });
    let product = ops.broadcast("Mul", &classes, &centerness);
    ops.op("Sqrt", &[&product], &[], product.shape.clone())
}

/// Boxes in an image of `[height, width]` from `distances [N, k, 4]` and `squares [.., k, 4]` around their points.
fn decode(ops: &mut OnnxWriter, distances: &Edge, squares: &Edge, image: [i64; 2]) -> Edge {
    let column = |ops: &mut OnnxWriter, e: &Edge, i: usize| ops.slice(e, e.shape.len() - 1, i as i64, i as i64 + 1);
    let (mut low, mut high) = (vec![], vec![]);
    for axis in 0..2 {
        let (from, to) = (column(ops, squares, axis), column(ops, squares, axis + 2));
        let stride = ops.broadcast("Sub", &to, &from);
        let sum = ops.broadcast("Add", &to, &from);
        let centre = ops.with_scalar("Mul", &sum, 0.5);
        let [before, after] = [axis, axis + 2].map(|i| {
            let distance = column(ops, distances, i);
            ops.broadcast("Mul", &distance, &stride)
        });
        // Columns are x, y; the image is height, width.
        let limit = image[1 - axis] as f64;
        let corner = ops.broadcast("Sub", &centre, &before);
        low.push(ops.clamp(&corner, 0.0, limit));
        let corner = ops.broadcast("Add", &centre, &after);
        high.push(ops.clamp(&corner, 0.0, limit));
    }
    let mut shape = low[0].shape.clone();
    shape[2] = 4;
    ops.op("Concat", &[&low[0], &low[1], &high[0], &high[1]], &[("axis", Attribute::Int(2))], shape)
}
