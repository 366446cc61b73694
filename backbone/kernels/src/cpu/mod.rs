//! Convolutions for CPUs, faster than libtorch's for the shapes of light networks: Winograd's algorithm for dense 3x3 filters, and depthwise
//! filters. Forward and backward; 32-bit floats in `NCHW`.
//!
//! | module | what is in it |
//! |---|---|
//! | `conv` | the way in: tensors, autograd, and the table of shapes for which a kernel was measured to be faster |
//! | `winograd` | dense 3x3, stride 1 |
//! | `depthwise` | 3x3 and 5x5, stride 1 and 2 |
//! | `simd` | the vector unit, chosen at run time |
//! | `threads` | work shared out among threads |
//! | `workspace` | buffers that threads keep |
//!
//! Results do not depend on the number of threads, so a run repeats bit for bit on a machine type. There are as many as libtorch uses on the
//! thread that calls (`tch::get_num_threads`).

mod conv;
mod depthwise;
mod simd;
mod threads;
mod winograd;
mod workspace;

pub use conv::{available, conv2d, conv2d_levels, enabled, set_enabled, Conv};
