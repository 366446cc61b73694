//! A detector as files: its networks, with a description of how to decode their outputs; or as one file to the end, image in, detections out.
//!
//! The networks are [`Stage`]s and need nothing of their own here. What differs from detector to detector is the graph
//! between and after them, and its description for readers in other languages: one implementation of [`DetectionGraph`], in a file of its own.

use repghost_heads::{Detector, Stage};
use repghost_train::detection::model::Class;
use tch::Tensor;

use super::files::{Built, File};
use crate::error::ExportError;
use crate::onnx::{proto, Edge, ElementType, Nms, OnnxWriter};
use crate::sidecar::{Decoding, RawSidecar};
use crate::spec::{finish, ExportSpec, SIZE_MULTIPLE};

/// The part of one detector's graph that is no network.
pub trait DetectionGraph {
    /// Writes the graph from `image [N, 3, H, W]` to named outputs: `boxes`, `scores`, `labels`, and `masks` with a mask branch.
    ///
    /// # Errors
    /// Settings that cannot be written with `nms`.
    fn detect(&self, ops: &mut OnnxWriter, image: &Edge, spec: &ExportSpec, nms: Nms)
        -> Result<Vec<(String, Edge)>, ExportError>;

    /// How the raw outputs are decoded.
    fn decoding(&self) -> Decoding;
}

/// The graph of a detector.
pub fn graph(detector: &Detector) -> &dyn DetectionGraph {
    match detector {
        Detector::RetinaNet(net) => net.as_ref(),
        Detector::Fcos(net) => net.as_ref(),
        Detector::Rcnn(net) => net.as_ref(),
    }
}

/// One file per stage, and the sidecar.
///
/// # Errors
/// A size that is no multiple of 32.
pub fn networks(
    detector: &Detector,
    spec: &ExportSpec,
    classes: &[Class],
    metadata: &[(String, String)],
) -> Result<Built, ExportError> {
    spec.check(SIZE_MULTIPLE)?;
    let file = |stage: Stage| {
        let (mut ops, input) = spec.begin_stage(&stage);
        let outputs = detector.run_stage(&stage, &mut ops, &input);
        let graph_name = detector.name().to_string() + &stage.suffix().replace('.', "_");
        File { suffix: stage.suffix(), model: finish(ops, &outputs, &graph_name, metadata) }
    };
    let files = detector.stages().into_iter().map(file).collect();
    Ok(Built { files, sidecar: Some(RawSidecar::new(detector, spec, classes, graph(detector).decoding())) })
}

/// Sets the scores of detections below their class's cutoff to 0, which marks that there is no detection. Rows stay where they are.
fn hide_below(ops: &mut OnnxWriter, outputs: &mut [(String, Edge)], cutoffs: &[f64]) {
    let place = |outputs: &[(String, Edge)], name: &str| outputs.iter().position(|(n, _)| n == name);
    let (Some(scores), Some(labels)) = (place(outputs, "scores"), place(outputs, "labels")) else { return };
    if cutoffs.is_empty() {
        return;
    }
    ops.graph.push_scope("thresholds");
    let values: Vec<f32> = cutoffs.iter().map(|c| *c as f32).collect();
    let table = ops.graph.constant(&Tensor::from_slice(&values), ElementType::F32);
    let least = ops.lookup(&table, &outputs[labels].1);
    let shown = ops.compare("GreaterOrEqual", &outputs[scores].1, &least);
    let shown = ops.cast(&shown, ElementType::F32);
    outputs[scores].1 = ops.broadcast("Mul", &outputs[scores].1, &shown);
    ops.graph.pop_scope();
}

/// Image in, detections out. `cutoffs`: scores by class below which nothing is shown; empty: none.
///
/// # Errors
/// A size that is no multiple of 32; settings that cannot be written with `nms`.
pub fn detector(
    detector: &Detector,
    spec: &ExportSpec,
    nms: Nms,
    metadata: &[(String, String)],
    cutoffs: &[f64],
) -> Result<proto::Model, ExportError> {
    spec.check(SIZE_MULTIPLE)?;
    let (mut ops, image) = spec.begin_stage(&Stage::Image);
    let mut outputs = graph(detector).detect(&mut ops, &image, spec, nms)?;
    hide_below(&mut ops, &mut outputs, cutoffs);
    Ok(finish(ops, &outputs, detector.name(), metadata))
}
