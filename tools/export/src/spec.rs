//! What is exported and in which form: the part of the model, precision, batch and size.

use prost::Message;
use repghost_heads::Stage;

use crate::error::ExportError;
use crate::onnx::writer::Region;
use crate::onnx::{proto, Edge, ElementType, OnnxWriter, DYNAMIC};

/// Name of the image input of every file: normalised pixels `[N, 3, H, W]`.
pub const INPUT: &str = "images";
/// Name of the input of files that read pooled regions `[R, channels, side, side]`.
pub const REGIONS: &str = "regions";
/// Height and width of a detector's images are multiples of this, so that its pyramid halves evenly down to C5.
pub const SIZE_MULTIPLE: i64 = 32;

/// Which part of a model becomes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The tapped features.
    Backbone,
    /// Class logits of an image classifier.
    Classifier,
    /// A detector's networks; the reader of the file decodes and suppresses boxes.
    Raw,
    /// Image in, detections out.
    Detector,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 4] = [Self::Backbone, Self::Classifier, Self::Raw, Self::Detector];

    /// Name in metadata and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backbone => "backbone",
            Self::Classifier => "classifier",
            Self::Raw => "raw",
            Self::Detector => "detector",
        }
    }
}

/// Kind of file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// ONNX.
    #[default]
    Onnx,
    /// TorchScript.
    TorchScript,
}

/// Batch of an exported file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// Always this many images.
    Fixed(i64),
    /// Any number of images.
    Dynamic,
}

/// Types and sizes of a file.
#[derive(Clone, Copy, Debug)]
pub struct ExportSpec {
    /// Type of weights and activations; inputs and outputs stay 32-bit floats.
    pub precision: ElementType,
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
            let why = format!("both must be positive multiples of {multiple}, so that every level halves evenly");
            return Err(ExportError::Option { option: "size", value: format!("{height},{width}"), why });
        }
        Ok(())
    }

    /// A graph whose input is a batch of images that fill it, cast to the precision.
    pub fn begin(&self) -> (OnnxWriter, Edge) {
        self.begin_as(&Stage::Image, false)
    }

    /// A graph with the input of a detector's stage, cast to the precision. Images may fill a part of it ([`Region`]).
    pub fn begin_stage(&self, stage: &Stage) -> (OnnxWriter, Edge) {
        self.begin_as(stage, true)
    }

    fn begin_as(&self, stage: &Stage, over_image: bool) -> (OnnxWriter, Edge) {
        let mut ops = OnnxWriter::new(self.precision);
        let n = match self.batch {
            BatchSize::Fixed(n) => n,
            BatchSize::Dynamic => DYNAMIC,
        };
        let (name, shape) = match stage.regions() {
            None => (INPUT, [n, 3, self.size[0], self.size[1]]),
            Some(regions) => (REGIONS, regions.of(DYNAMIC)),
        };
        let input = ops.graph.input(name, &shape, ElementType::F32);
        if over_image && stage.regions().is_none() {
            ops.region = Some(Region::of(input.clone()));
        }
        let input = ops.cast(&input, self.precision);
        (ops, input)
    }
}

/// Declares outputs as 32-bit floats and finishes the file.
pub fn finish(mut ops: OnnxWriter, outputs: &[(String, Edge)], graph_name: &str, metadata: &[(String, String)]) -> proto::Model {
    for (name, edge) in outputs {
        let edge = if edge.element == ElementType::F16 { ops.cast(edge, ElementType::F32) } else { edge.clone() };
        ops.graph.output(name, &edge);
    }
    ops.graph.finish(graph_name, metadata)
}

/// The bytes of a file.
pub fn encode(model: &proto::Model) -> Vec<u8> {
    model.encode_to_vec()
}
