//! From outputs of a head to classes, where they are numbered differently: torchvision's heads have 91 outputs for COCO's 80 classes.

use repghost_backbone::ops::Ops;
use tch::Tensor;

use super::graph::{Edge, ElementType};
use super::writer::OnnxWriter;

/// Scores and classes of detections from their scores and outputs (integers). `classes` has the class of each output. An output that is no class
/// takes part until here, as in the reference, and has score 0 from now on, which marks that there is no detection.
pub fn of_outputs(ops: &mut OnnxWriter, scores: &Edge, outputs: &Edge, classes: &[Option<i64>]) -> (Edge, Edge) {
    if classes.iter().enumerate().all(|(output, class)| *class == Some(output as i64)) {
        return (scores.clone(), outputs.clone());
    }
    let used: Vec<f32> = classes.iter().map(|c| f32::from(u8::from(c.is_some()))).collect();
    let used = ops.graph.constant(&Tensor::from_slice(&used), ElementType::F32);
    let used = ops.lookup(&used, outputs);
    let table = ops.graph.ints(&classes.iter().map(|c| c.unwrap_or(0)).collect::<Vec<_>>());
    (ops.mul(scores, &used), ops.lookup(&table, outputs))
}
