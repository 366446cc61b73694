//! From a trained model to a file that other runtimes take, and back: what that file costs and what it scores.
//!
//! | module | what is in it |
//! |---|---|
//! | [`request`] | one export from start to end: load, fuse, write, check, keep |
//! | [`model`] | what is exported: a detector, its backbone, a classifier |
//! | [`export`], [`parts`] | inputs, outputs and precision of a file; the parts of a model as files |
//! | [`onnx`] | the ONNX writer: a third reader of the one forward (see `repghost_backbone::ops`) |
//! | [`torchscript`] | the TorchScript writer: a fourth reader |
//! | [`metadata`], [`sidecar`] | what a file says about itself; how to decode raw outputs |
//! | [`fit`] | images into inputs of a fixed size |
//! | [`calibrate`], [`eight_bit`] | INT8: ranges from images; what it costs and saves |
//! | [`gate`] | a file runs before it is kept, and is compared with the model |
//! | [`runtime`] | running files: onnxruntime |
//! | [`engine`] | exported detectors: picture in, detections out |
//! | [`supply`], [`pipeline`], [`score`] | engines for threads; images through them; `eval` and `predict` |
//! | [`sample`] | networks with weights by rule that find something, to check and to time |
//! | [`table`] | the gate over all networks |
//! | [`mod@bench`] | what networks cost in each runtime |
//! | [`tensorrt`] | trtexec: command lines and outputs of TensorRT up to 10 and from 11 on |

pub mod bench;
pub mod calibrate;
pub mod eight_bit;
pub mod engine;
pub mod error;
pub mod export;
pub mod fit;
pub mod gate;
pub mod metadata;
pub mod model;
pub mod onnx;
pub mod parts;
pub mod pipeline;
pub mod request;
pub mod runtime;
pub mod sample;
pub mod score;
pub mod sidecar;
pub mod supply;
pub mod table;
pub mod tensorrt;
pub mod torchscript;

pub use error::ExportError;
