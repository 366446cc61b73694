//! From a trained model to a file that other runtimes take, and back: what that file costs and what it scores.
//!
//! ```
//! use repghost_backbone::{BackboneConfig, FuseLevel, Tree};
//! use repghost_export::onnx::ElementType;
//! use repghost_export::parts::backbone::classifier;
//! use repghost_export::spec::{encode, BatchSize, ExportSpec};
//!
//! let mut net = BackboneConfig { width: 0.5, ..BackboneConfig::named("repghostnet") }.build_classifier(10)?;
//! net.fuse(FuseLevel::All);
//! let spec = ExportSpec { precision: ElementType::F32, batch: BatchSize::Dynamic, size: [64, 64] };
//! let model = tch::no_grad(|| classifier(&net, &spec, &[]))?;
//! let bytes = encode(&model); // the content of a .onnx file; `export::export` checks it before it is kept
//! assert!(bytes.len() > 1_000_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | [`mod@export`] | an export from start to end: load, fuse, write, check, keep |
//! | [`model`] | what is exported: a detector, its backbone, a classifier |
//! | [`spec`], [`parts`] | inputs, outputs and precision of a file; the parts of a model as files |
//! | [`onnx`] | the ONNX writer: a third reader of the one forward (see `repghost_backbone::ops`) |
//! | [`torchscript`] | the TorchScript writer: a fourth reader |
//! | [`metadata`] | what a file records about itself |
//! | [`mod@images`] | images to check and calibrate on |
//! | [`int8`] | int8: ranges from images; what it costs and saves |
//! | [`parity`] | runs a file and compares its outputs with the model's, before it is kept |
//! | [`runtime`] | running files: onnxruntime |
//! | [`engine`] | exported detectors: images in, detections out |
//! | [`engine_pool`] | exported detectors as a pool of engines, as `eval` and `predict` take them |
//! | [`synthetic`] | networks with synthetic weights that find objects, to check and to time |
//! | [`mod@bench`] | times of networks in each runtime |
//! | [`tensorrt`] | trtexec: command lines and outputs of TensorRT up to 10 and from 11 on |

pub mod bench;
mod calibrate;
pub mod engine;
pub mod engine_pool;
pub mod error;
pub mod export;
pub mod images;
pub mod int8;
mod letterbox;
pub mod metadata;
pub mod model;
pub mod onnx;
pub mod parity;
pub mod parts;
pub mod runtime;
mod sidecar;
pub mod spec;
pub mod synthetic;
pub mod tensorrt;
pub mod torchscript;
pub mod triton;

pub use error::ExportError;
