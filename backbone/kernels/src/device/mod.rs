//! The way to a device, and what a training needs of it beyond tensors.
//!
//! One program, built against a libtorch without CUDA, serves machines with and without a card: before anything asks for CUDA,
//! [`libraries::open_cuda`] opens the CUDA half out of the folder that libtorch was loaded from, and its kernels are there from then on.
//! [`Choice`] is what a user asks for, [`Choice::resolve`] what it comes to on this machine, and why.
//!
//! | module | what is in it |
//! |---|---|
//! | [`libraries`] | libtorch's CUDA half and the libraries beside it |
//! | [`driver`] | cards, by the driver alone |
//! | [`choice`] | `auto`, `cpu`, `cuda`, `cuda:1` |
//! | [`precision`] | autocast, TF32, repeatable algorithms |
//! | [`profile`] | a trace of operations and kernels |
//! | [`memory`] | what the allocator holds |
//! | [`stream`] | copies beside the work, events |

pub mod choice;
pub mod driver;
pub mod libraries;
pub mod memory;
pub mod precision;
pub mod profile;
pub mod stream;

pub use choice::{Choice, Chosen, NoCuda};
pub use stream::{to_device, to_host};
