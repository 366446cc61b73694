//! NCCL, NVIDIA's library that adds tensors of several cards: opened at run time by its C interface, so that one program serves machines with and
//! without it.

mod communicator;
mod library;

pub(crate) use communicator::{Collective, Communicator};
pub(crate) use library::UniqueId;
pub use library::{numbers_of_the_header, Nccl};
