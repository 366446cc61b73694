//! Faster and Mask R-CNN from the first stage's outputs to detections, as graph nodes.
//!
//! | module | what is in it |
//! |---|---|
//! | [`plain`] | operators that TensorRT builds without plugins; shapes depend on nothing but the batch |
//! | [`standard`] | ONNX `NonMaxSuppression` and `RoiAlign`: exact, shapes depend on the data, one image per run |
//! | [`proposals`] | what both share: the best anchors of each level |
//! | [`roi_align`] | RoIAlign from all levels by one `GridSample` |
//! | [`levels`] | which level a region is pooled from |

pub mod levels;
pub mod plain;
pub mod proposals;
pub mod roi_align;
pub mod standard;

use repghost_heads::{LabelMap, Rcnn, Stage};
use tch::Tensor;

use super::graph::{Attribute, Edge, ElementType, DYNAMIC};
use super::writer::OnnxWriter;

/// Detections with a shorter side (pixels) are none (torchvision's `remove_small_boxes` in the second stage).
const MIN_DETECTION: f64 = 1e-2;

/// Product of a batch size, which may be dynamic, and a number.
fn times(batch: i64, n: i64) -> i64 {
    if batch == DYNAMIC {
        DYNAMIC
    } else {
        batch * n
    }
}

/// 1.0 where both sides of `boxes [.., 4]` have at least `side` pixels, else 0.0: `[.., 1]`.
fn large_enough(ops: &mut OnnxWriter, boxes: &Edge, side: f64) -> Edge {
    let axis = boxes.shape.len() - 1;
    let low = ops.slice(boxes, axis, 0, 2);
    let high = ops.slice(boxes, axis, 2, 4);
    let sizes = ops.broadcast("Sub", &high, &low);
    let [width, height] = [0, 1].map(|i| ops.slice(&sizes, axis, i, i + 1));
    let smaller = ops.broadcast("Min", &width, &height);
    let least = ops.graph.scalar(side, ElementType::F32);
    ops.compare("GreaterOrEqual", &smaller, &least)
}

/// Of mask logits `[R, outputs, h, w]` those of output `wanted [R]` (integers), as probabilities `[R, h, w]`. By a product with a one-hot row,
/// which every runtime has.
fn own_masks(ops: &mut OnnxWriter, logits: &Edge, wanted: &Edge) -> Edge {
    let (rows, outputs, h, w) = (logits.shape[0], logits.shape[1], logits.shape[2], logits.shape[3]);
    let logits = ops.cast(logits, ElementType::F32);
    // Rows are what is computed: there may be none, and of nothing no other size can be.
    let flat = ops.reshape(&logits, &[-1, outputs, h * w], vec![rows, outputs, h * w]);
    let wanted = ops.cast(wanted, ElementType::F32);
    let wanted = ops.reshape(&wanted, &[-1, 1, 1], vec![rows, 1, 1]);
    let all: Vec<f32> = (0..outputs).map(|o| o as f32).collect();
    let all = ops.graph.constant(&Tensor::from_slice(&all).view([1, 1, -1]), ElementType::F32);
    let row = ops.compare("Equal", &wanted, &all);
    let own = ops.op("MatMul", &[&row, &flat], &[], vec![rows, 1, h * w]);
    let own = ops.op("Sigmoid", &[&own], &[], own.shape.clone());
    ops.reshape(&own, &[-1, h, w], vec![rows, h, w])
}

/// Class scores `[R, outputs - 1]` from logits `[R, outputs]`: softmax without the background.
fn class_scores(ops: &mut OnnxWriter, logits: &Edge) -> Edge {
    let logits = ops.cast(logits, ElementType::F32);
    let outputs = logits.shape[1];
    let scores = ops.op("Softmax", &[&logits], &[("axis", Attribute::Int(1))], logits.shape.clone());
    ops.slice(&scores, 1, 1, outputs)
}

/// Bins per side that regions are pooled to for the mask branch, where there is one.
fn mask_pool(net: &Rcnn) -> Option<usize> {
    net.decoder.stages().iter().find_map(|stage| match stage {
        Stage::Masks(regions) => Some(regions.side as usize),
        _ => None,
    })
}

/// The class of each output without the background (`0` is the head's output 1).
fn classes(labels: &LabelMap) -> &[Option<i64>] {
    &labels.by_output()[1..]
}
