//! Boxes from deltas, and non-maximum suppression, as graph nodes.
//!
//! Plain suppression is a fixed point. With candidates sorted by score, `M[i, j] = 1` where `i < j`, both have one class, and their
//! IoU passes the threshold. Greedy suppression keeps `j` unless a *kept* `i` suppresses it: `keep = valid * (keep @ M < 0.5)`. Starting from
//! `keep = valid`, each round settles one more link of the longest suppression chain, so `r` rounds are exact for chains up to
//! that length (in 200 random trials on 1000 boxes no chain was longer than 6).

use tch::{Kind, Tensor};

use super::graph::{Attribute, Edge, ElementType};
use super::writer::OnnxWriter;

/// Unrolled rounds of the fixed point where no other number is asked for.
pub const ROUNDS: usize = 12;
/// TensorRT refuses a larger top-k.
pub const MAX_TOP_K: i64 = 3840;
/// Pairs that enter suppression in a file with plain nodes, whose cost grows with their square. Crowded pictures (blood cells at a score
/// threshold of 0.05) have two thousand; a limit of 1000 lost a tenth of their detections.
pub const CANDIDATES: i64 = 2500;

/// Which nodes suppress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nms {
    /// Pairwise IoU and matrix products: static shapes, builds everywhere.
    Plain {
        /// Unrolled rounds: exact for suppression chains of up to this many boxes.
        rounds: usize,
    },
    /// ONNX `NonMaxSuppression`: exact, shapes depend on the data; rows of all images in one list.
    Onnx,
}

impl Nms {
    /// Plain suppression with the usual number of rounds.
    pub const PLAIN: Self = Self::Plain { rounds: ROUNDS };
}

/// What suppresses what.
#[derive(Clone, Copy, Debug)]
pub struct Suppression {
    /// IoU above which a worse box of the same class is removed.
    pub iou: f64,
    /// Scores must be above this.
    pub score: f64,
    /// Unrolled rounds of the fixed point.
    pub rounds: usize,
}

/// Decodes `deltas [N, k, 4]` against `anchors [.., k, 4]` (corners): centre offsets in anchor sizes divided by `weights`, log sizes
/// clamped to `log(1000 / 16)`, boxes clipped to the image `[height, width]`. As torchvision's `BoxCoder` and `clip_boxes_to_image`.
pub fn decode_boxes(ops: &mut OnnxWriter, deltas: &Edge, anchors: &Edge, weights: [f64; 4], image: [i64; 2]) -> Edge {
    let max_log_ratio = (1000.0f64 / 16.0).ln();
    let column = |ops: &mut OnnxWriter, e: &Edge, i: i64| {
        let axis = e.shape.len() - 1;
        ops.slice(e, axis, i, i + 1)
    };
    let mut low = vec![];
    let mut high = vec![];
    for axis in 0..2usize {
        let a0 = column(ops, anchors, axis as i64);
        let a1 = column(ops, anchors, axis as i64 + 2);
        let size = ops.broadcast("Sub", &a1, &a0);
        let half = ops.with_scalar("Mul", &size, 0.5);
        let centre = ops.broadcast("Add", &a0, &half);
        let offset = column(ops, deltas, axis as i64);
        let offset = ops.with_scalar("Mul", &offset, 1.0 / weights[axis]);
        let log_ratio = column(ops, deltas, axis as i64 + 2);
        let log_ratio = ops.with_scalar("Mul", &log_ratio, 1.0 / weights[axis + 2]);
        let log_ratio = ops.clamp(&log_ratio, -1e4, max_log_ratio);
        let moved = ops.broadcast("Mul", &offset, &size);
        let centre = ops.broadcast("Add", &moved, &centre);
        let ratio = ops.op("Exp", &[&log_ratio], &[], log_ratio.shape.clone());
        let new_size = ops.broadcast("Mul", &ratio, &size);
        let half = ops.with_scalar("Mul", &new_size, 0.5);
        let from = ops.broadcast("Sub", &centre, &half);
        let to = ops.broadcast("Add", &centre, &half);
        // Columns are x, y; the image is height, width.
        let limit = image[1 - axis] as f64;
        low.push(ops.clamp(&from, 0.0, limit));
        high.push(ops.clamp(&to, 0.0, limit));
    }
    let mut shape = low[0].shape.clone();
    shape[2] = 4;
    ops.op("Concat", &[&low[0], &low[1], &high[0], &high[1]], &[("axis", Attribute::Int(2))], shape)
}

/// Pairwise IoU of `boxes [N, m, 4]`: `[N, m, m]`.
fn pairwise_iou(ops: &mut OnnxWriter, boxes: &Edge) -> Edge {
    let columns: Vec<Edge> = (0..4).map(|i| ops.slice(boxes, 2, i, i + 1)).collect();
    let rows: Vec<Edge> = columns.iter().map(|c| ops.transpose_last(c)).collect();
    let mut overlap = vec![];
    let mut sizes = vec![];
    for axis in 0..2 {
        let from = ops.broadcast("Max", &columns[axis], &rows[axis]);
        let to = ops.broadcast("Min", &columns[axis + 2], &rows[axis + 2]);
        let length = ops.broadcast("Sub", &to, &from);
        overlap.push(ops.op("Relu", &[&length], &[], length.shape.clone()));
        sizes.push(ops.broadcast("Sub", &columns[axis + 2], &columns[axis]));
    }
    let inter = ops.broadcast("Mul", &overlap[0], &overlap[1]);
    let area = ops.broadcast("Mul", &sizes[0], &sizes[1]);
    let area_row = ops.transpose_last(&area);
    let both = ops.broadcast("Add", &area, &area_row);
    let union = ops.broadcast("Sub", &both, &inter);
    // Two empty boxes have no union: keep 0 / 0 out of the graph.
    let union = ops.with_scalar("Max", &union, 1e-12);
    ops.broadcast("Div", &inter, &union)
}

/// Greedy class-aware suppression of candidates that are sorted by score: `boxes [N, m, 4]`, `scores [N, m]`, `labels [N, m]` (floats);
/// without labels all are of one class.
/// Gives scores with everything that is suppressed, or not above the least score, set to zero.
pub fn suppress(ops: &mut OnnxWriter, boxes: &Edge, scores: &Edge, labels: Option<&Edge>, limits: Suppression) -> Edge {
    let m = boxes.shape[1];
    let iou = pairwise_iou(ops, boxes);
    let threshold = ops.graph.scalar(limits.iou, ElementType::F32);
    let overlapping = ops.compare("Greater", &iou, &threshold);
    // Computed from two lists of places: as a constant it would be `4 m²` bytes of the file.
    let places = Tensor::arange(m, (Kind::Float, tch::Device::Cpu));
    let [row, column] = [[1, m, 1], [1, 1, m]].map(|shape| ops.graph.constant(&places.view(shape), ElementType::F32));
    let earlier = ops.compare("Less", &row, &column);
    let mut links = ops.broadcast("Mul", &overlapping, &earlier);
    if let Some(labels) = labels {
        let column = ops.unsqueeze(labels, 2);
        let row = ops.unsqueeze(labels, 1);
        let same = ops.compare("Equal", &column, &row);
        links = ops.broadcast("Mul", &links, &same);
    }
    let minimum = ops.graph.scalar(limits.score, ElementType::F32);
    let valid = ops.compare("Greater", scores, &minimum);
    let valid = ops.unsqueeze(&valid, 1);
    let half = ops.graph.scalar(0.5, ElementType::F32);
    let mut keep = valid.clone();
    for _ in 0..limits.rounds {
        let suppressed = ops.op("MatMul", &[&keep, &links], &[], keep.shape.clone());
        let free = ops.compare("Less", &suppressed, &half);
        keep = ops.broadcast("Mul", &free, &valid);
    }
    let keep = ops.reshape(&keep, &[0, m], scores.shape.clone());
    ops.broadcast("Mul", scores, &keep)
}
