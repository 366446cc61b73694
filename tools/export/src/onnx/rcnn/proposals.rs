//! The best anchors of each level, moved and cut to the image.

use repghost_heads::rcnn::{Rcnn, RpnOutputs};
use tch::Device;

use super::super::graph::{Edge, ElementType};
use super::super::suppress::{decode_boxes, MAX_TOP_K};
use super::super::writer::OnnxWriter;
use super::large_enough;
use repghost_backbone::ops::Ops;

/// Proposals with a shorter side (pixels) are none (torchvision's `min_size` of the first stage).
const MIN_PROPOSAL: f64 = 1e-3;
/// Divisors of the first stage's offsets.
const UNIT_WEIGHTS: [f64; 4] = [1.0; 4];

/// Of one level, best first.
#[derive(Debug)]
pub struct LevelProposals {
    /// `[N, k, 4]` corners in pixels.
    pub boxes: Edge,
    /// `[N, k]`; zero where there is no proposal.
    pub scores: Edge,
}

/// The best `pre_nms_top_n_test` anchors of each level of an image of height and width `image`.
pub fn by_level(ops: &mut OnnxWriter, net: &Rcnn, rpn: &RpnOutputs<Edge>, image: [i64; 2]) -> Vec<LevelProposals> {
    let logits = ops.cast(&rpn.logits, ElementType::F32);
    let deltas = ops.cast(&rpn.deltas, ElementType::F32);
    let n = logits.shape[0];
    let set = net.anchors(image);
    let all = set.tensor(Device::Cpu);
    let top = net.config().rpn.pre_nms_top_n_test as i64;
    let mut levels = vec![];
    for (i, range) in set.ranges().enumerate() {
        let (start, count) = (range.start as i64, range.len() as i64);
        levels.push(ops.scope(&format!("level{i}"), |ops| {
            let part = ops.slice(&logits, 1, start, start + count);
            let part = ops.reshape(&part, &[0, -1], vec![n, count]);
            let (best, index) = ops.top_k(&part, top.min(count).min(MAX_TOP_K));
            let part = ops.slice(&deltas, 1, start, start + count);
            let picked = ops.pick_rows(&part, &index);
            let table = ops.graph.constant(&all.narrow(0, start, count), ElementType::F32);
            let anchors = ops.lookup(&table, &index);
            let boxes = decode_boxes(ops, &picked, &anchors, UNIT_WEIGHTS, image);
            let scores = ops.op("Sigmoid", &[&best], &[], best.shape.clone());
            let large = large_enough(ops, &boxes, MIN_PROPOSAL);
            let large = ops.reshape(&large, &[0, -1], scores.shape.clone());
            LevelProposals { scores: ops.mul(&scores, &large), boxes }
        }));
    }
    levels
}

/// The score that a proposal has to pass, where `least` is enough: suppression compares with "above", not "at least".
pub fn above(least: f64) -> f64 {
    if least > 0.0 {
        f64::from((least as f32).next_down())
    } else {
        0.0
    }
}
