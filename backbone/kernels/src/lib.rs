//! Operations that libtorch's Rust binding lacks, and the way to the devices that run them. The ground floor: it knows tensors, and no
//! network.
//!
//! | module | what is in it |
//! |---|---|
//! | [`custom_op`] | an operation of our own in autograd's graph, with a backward written in Rust |

pub mod custom_op;
