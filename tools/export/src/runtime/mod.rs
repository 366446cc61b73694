//! Running networks: a [`Session`] for each runtime, and one list of runtimes.
//!
//! | module | what is in it |
//! |---|---|
//! | [`list`] | all runtimes |
//! | [`session`] | a loaded network: inputs in, outputs out, or times |
//! | [`onnxruntime`] | onnxruntime, on the CPU or with TensorRT |
//! | [`libtorch`] | libtorch, operation by operation or traced |
//! | [`python`] | OpenVINO and MNN, in a child process |

pub mod libtorch;
pub mod list;
pub mod onnxruntime;
pub mod python;
pub mod session;

pub use list::{Description, Runtime, DESCRIPTIONS, REFERENCE, RUNTIMES};
pub use session::{Data, NamedOutput, Session, Settings};
