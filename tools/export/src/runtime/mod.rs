//! Running exported files.

pub mod onnxruntime;

pub use onnxruntime::OnnxRuntime;

/// A named output: shape and elements as floats (integer outputs are converted).
#[derive(Clone, Debug, PartialEq)]
pub struct NamedOutput {
    /// Name in the file.
    pub name: String,
    /// Sizes.
    pub shape: Vec<i64>,
    /// Elements, row-major.
    pub data: Vec<f32>,
}
