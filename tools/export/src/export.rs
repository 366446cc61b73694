//! Which part of a model becomes a file.

use prost::Message;
use repghost_backbone::Backbone;

use crate::error::ExportError;
use crate::onnx::graph::DYNAMIC;
use crate::onnx::{proto, Edge, Element, Onnx};

/// Name of the image input of every file: normalised pixels `[N, 3, H, W]`.
pub const INPUT: &str = "images";

/// Batch of an exported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// Always this many images.
    Fixed(i64),
    /// Any number of images.
    Dynamic,
}

/// What the file is to look like.
#[derive(Clone, Copy, Debug)]
pub struct ExportSpec {
    /// Type of weights and activations; inputs and outputs stay 32-bit floats.
    pub precision: Element,
    /// Batch.
    pub batch: BatchSize,
    /// Height and width of the input.
    pub size: [i64; 2],
}

impl ExportSpec {
    /// Checks the size against the coarsest stride.
    ///
    /// # Errors
    /// Sizes that are no multiple of it.
    pub fn check(&self, multiple: i64) -> Result<(), ExportError> {
        let [height, width] = self.size;
        if height <= 0 || width <= 0 || height % multiple != 0 || width % multiple != 0 {
            return Err(ExportError::Size { height, width, multiple });
        }
        Ok(())
    }

    /// A graph with its input, cast to the precision.
    pub fn begin(&self) -> (Onnx, Edge) {
        let mut ops = Onnx::new(self.precision);
        let n = match self.batch {
            BatchSize::Fixed(n) => n,
            BatchSize::Dynamic => DYNAMIC,
        };
        let image = ops.graph.input(INPUT, &[n, 3, self.size[0], self.size[1]], Element::F32);
        let image = ops.cast(&image, self.precision);
        (ops, image)
    }
}

/// Declares outputs as 32-bit floats and finishes the file.
pub fn finish(mut ops: Onnx, outputs: &[(String, Edge)], graph_name: &str, metadata: &[(String, String)]) -> proto::Model {
    for (name, edge) in outputs {
        let edge = if edge.element == Element::F16 { ops.cast(edge, Element::F32) } else { edge.clone() };
        ops.graph.output(name, &edge);
    }
    ops.graph.finish(graph_name, metadata)
}

/// The tapped features, named `C2` … by level.
///
/// # Errors
/// A size that the network's stride does not divide.
pub fn backbone(net: &Backbone, spec: &ExportSpec, metadata: &[(String, String)]) -> Result<proto::Model, ExportError> {
    spec.check(net.taps().last().map_or(1, |t| t.stride))?;
    let (mut ops, image) = spec.begin();
    let features = net.features(&mut ops, &image);
    let outputs: Vec<_> = net.taps().iter().map(|t| format!("C{}", t.level)).zip(features).collect();
    Ok(finish(ops, &outputs, &net.name, metadata))
}

/// Class logits, named `logits`.
///
/// # Errors
/// A size that the network's stride does not divide, or a backbone without classifier.
pub fn classifier(net: &Backbone, spec: &ExportSpec, metadata: &[(String, String)]) -> Result<proto::Model, ExportError> {
    if !net.has_classifier() {
        return Err(ExportError::Part { part: "classifier", why: "the model is a detector's backbone".into() });
    }
    spec.check(net.taps().last().map_or(1, |t| t.stride))?;
    let (mut ops, image) = spec.begin();
    let logits = net.classify(&mut ops, &image);
    Ok(finish(ops, &[("logits".into(), logits)], &net.name, metadata))
}

/// The bytes of a file.
pub fn encode(model: &proto::Model) -> Vec<u8> {
    model.encode_to_vec()
}
