//! Operations that libtorch's Rust binding lacks, and the way to the devices that run them. The ground floor: tensors, and no
//! network.
//!
//! ```
//! use repghost_kernels::custom_op::with_backward;
//! use tch::Tensor;
//!
//! // x², with a backward of our own.
//! let x = Tensor::from_slice(&[1f32, 2.0, 3.0]).set_requires_grad(true);
//! let (value, saved) = tch::no_grad(|| (x.square(), x.detach()));
//! let y = with_backward(value, &[&x], move |gradient| vec![gradient * &saved * 2.0]);
//! y.sum(tch::Kind::Float).backward();
//! assert_eq!(Vec::<f32>::try_from(x.grad())?, [2.0, 4.0, 6.0]);
//! # Ok::<(), tch::TchError>(())
//! ```
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
