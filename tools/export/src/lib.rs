//! From a trained model to a file that other runtimes take, and back: what that file costs and what it scores.
//!
//! | module | what is in it |
//! |---|---|
//! | [`onnx`] | the ONNX writer: a third reader of the one forward (see `repghost_backbone::ops`) |
//! | [`export`] | which part of a model becomes a file, in which precision and for which batch |
//! | [`runtime`] | running files: onnxruntime |
//! | [`tensorrt`] | trtexec: command lines and outputs of TensorRT up to 10 and from 11 on |
//! | [`gate`] | comparing a file's outputs with the model's before it is kept |

pub mod detector;
pub mod error;
pub mod export;
pub mod gate;
pub mod onnx;
pub mod runtime;
pub mod tensorrt;

pub use error::ExportError;
