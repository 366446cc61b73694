//! Kernels for CPUs, faster than libtorch's for the shapes of light networks: Winograd's algorithm for dense 3x3 filters, depthwise filters,
//! batch norm in training. Forward and backward; 32-bit floats in `NCHW`.
//!
//! | module | what is in it |
//! |---|---|
//! | `conv` | the way in: tensors, autograd, and the table of shapes for which a kernel was measured to be faster |
//! | `batch_norm` | batch norm in training, with sum and ReLU |
//! | `allocator` | freed memory that stays with the process |
//! | `winograd` | dense 3x3, stride 1 |
//! | `depthwise` | 3x3 and 5x5, stride 1 and 2 |
//! | `simd` | the vector unit, chosen at run time |
//! | `threads` | work shared out among threads |
//! | `workspace` | buffers that threads keep |
//!
//! Results do not depend on the number of threads, so a run repeats bit for bit on a machine type. There are as many as libtorch uses on the
//! thread that calls (`tch::get_num_threads`).

mod allocator;
mod batch_norm;
mod conv;
mod depthwise;
mod simd;
mod threads;
mod winograd;
mod workspace;

pub use allocator::keep_memory;
pub use batch_norm::{batch_norm_sum, Normed};
pub use conv::{available, conv2d, conv2d_levels, enabled, set_enabled, with_libtorch_alone, Conv};
