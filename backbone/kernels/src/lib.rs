//! Operations that libtorch's Rust binding lacks, and the way to the devices that run them. The ground floor: tensors, and no
//! network.
//!
//! | module | what is in it |
//! |---|---|
//! | [`cuda`] | kernels of our own for NVIDIA cards: CUDA source, compiled at first use |
//! | [`cpu`] | convolutions for CPUs |
//! | [`custom_op`] | an operation of our own in autograd's graph, with a backward written in Rust |
//! | [`device`] | which device there is; precision, memory, streams |
//! | [`lists`] | operations on hundreds of tensors in one launch: fused optimizers, averages, norms |

pub mod cpu;
pub mod cuda;
pub mod custom_op;
pub mod device;
pub mod lists;
mod shim;

pub use shim::ShimError;
