//! Which pyramid level a region is pooled from (see `repghost_heads::roi_align::MultiScaleRoiAlign`): `floor(4 + log2(side / 224) + 1e-6)`.
//!
//! As thresholds on the side, so that a level's number needs no logarithm: a region reaches level `l` where its side is at least
//! `224 * 2^(l - 4 - 1e-6)`.

use repghost_backbone::ops::Ops;

use super::super::graph::{Edge, ElementType};
use super::super::writer::OnnxWriter;

const CANONICAL_SIZE: f64 = 224.0;
const CANONICAL_LEVEL: f64 = 4.0;
const EPSILON: f64 = 1e-6;

/// For each level but the first, 1.0 where the region reaches it: each `[.., 1]`, for `boxes [.., 4]`.
pub fn reached(ops: &mut OnnxWriter, boxes: &Edge, levels: &[u32]) -> Vec<Edge> {
    let axis = boxes.shape.len() - 1;
    let low = ops.slice(boxes, axis, 0, 2);
    let high = ops.slice(boxes, axis, 2, 4);
    let sizes = ops.broadcast("Sub", &high, &low);
    let [width, height] = [0, 1].map(|i| ops.slice(&sizes, axis, i, i + 1));
    let area = ops.mul(&width, &height);
    let side = ops.op("Sqrt", &[&area], &[], area.shape.clone());
    let later = levels.iter().skip(1);
    later
        .map(|level| {
            let threshold = CANONICAL_SIZE * (f64::from(*level) - CANONICAL_LEVEL - EPSILON).exp2();
            let threshold = ops.graph.scalar(threshold, ElementType::F32);
            ops.compare("GreaterOrEqual", &side, &threshold)
        })
        .collect()
}

/// A number that depends on the region's level: `values[0] + sum of reached[i] * (values[i + 1] - values[i])`.
pub fn by_level(ops: &mut OnnxWriter, reached: &[Edge], values: &[f64]) -> Edge {
    let mut sum: Option<Edge> = None;
    for (flag, pair) in reached.iter().zip(values.windows(2)) {
        let step = ops.with_scalar("Mul", flag, pair[1] - pair[0]);
        sum = Some(match sum {
            None => step,
            Some(sum) => ops.add(&sum, &step),
        });
    }
    match sum {
        Some(sum) => ops.with_scalar("Add", &sum, values[0]),
        None => ops.graph.scalar(values[0], ElementType::F32),
    }
}
