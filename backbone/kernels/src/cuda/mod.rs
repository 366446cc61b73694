//! Kernels of our own for NVIDIA cards.
//!
//! Their source (`source/*.cu`) is part of the program. NVRTC, which comes with libtorch's CUDA build, compiles it at first use for the card
//! at hand; the machine code is kept in the user's cache folder. Launches go through the CUDA driver, on the stream that libtorch
//! works on. So one binary serves machines with and without a card, and building it needs no CUDA toolkit.
//!
//! | module | kernel |
//! |---|---|
//! | [`roi_align`] | RoIAlign from a pyramid, and its gradient |
//! | [`focal`] | the focal loss of sigmoid outputs, and its gradient |
//! | [`matcher`] | anchors to objects |
//! | [`nms`] | non-maximum suppression |
//! | [`normalize`] | bytes to normalised pixels |
//! | [`depthwise`] | depthwise convolutions, and their gradients |
//! | [`batch_norm`] | batch norm with sum and ReLU, and its gradients |
//!
//! [`layout`] is the order of elements in which cuDNN's own convolutions run fastest.
//!
//! Every function of these modules returns `None` where it can't serve: on tensors that aren't on a card, without a driver or NVRTC, for
//! sizes or kinds that no kernel is made for. The caller has another way for these. What was missing is printed once
//! ([`status`] has it for reports).

pub mod batch_norm;
mod cache;
pub mod depthwise;
mod driver;
pub mod focal;
mod launch;
pub mod layout;
pub mod matcher;
pub mod nms;
pub mod normalize;
mod nvrtc;
pub mod roi_align;
mod source;

pub use driver::Grid;
pub use launch::{available, upload, with_launcher, Argument, Launcher};
pub use nvrtc::Nvrtc;
pub use source::{Entry, Scalar, Source};

/// What stands between a kernel and its launch.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KernelError {
    /// The environment switches the kernels off.
    #[error("switched off by {}=0", launch::SWITCH)]
    Off,
    /// A library isn't there.
    #[error("{name} can't be opened: {reason}")]
    Missing {
        /// File name.
        name: &'static str,
        /// The system's message.
        reason: String,
    },
    /// A library lacks a function that it should have.
    #[error("{library} has no {function}: it is too old or too new for this program")]
    Function {
        /// File name.
        library: &'static str,
        /// Name of the function.
        function: &'static str,
    },
    /// NVRTC refused a source.
    #[error("{source_name} does not compile for {arch}: {log}")]
    Compile {
        /// File of the source.
        source_name: &'static str,
        /// Architecture, as `sm_90`.
        arch: String,
        /// First lines of the compiler's report.
        log: String,
    },
    /// A call to the driver failed.
    #[error("{call}: {text}")]
    Driver {
        /// Function of the driver.
        call: &'static str,
        /// Its message.
        text: String,
    },
    /// libtorch gave no stream.
    #[error("libtorch has no CUDA stream: {0}")]
    Stream(String),
}

/// Whether the kernels can run on card `device`, else what is missing. Opens the libraries and compiles nothing.
///
/// # Errors
/// What is missing.
pub fn status(device: usize) -> Result<String, KernelError> {
    launch::status(device)
}
