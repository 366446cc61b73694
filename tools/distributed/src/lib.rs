//! Processes that train one network together, by c10d as libtorch has it: a TCP store to meet, gloo to add
//! tensors; NCCL adds those of cards.
//!
//! ```
//! use repghost_distributed::World;
//!
//! // No launcher started this process.
//! assert!(World::from_variables(|_| None).unwrap().is_none());
//! ```

mod engine;
mod error;
mod group;
mod launch;
mod nccl;
mod reducer;
mod shim;
mod world;

pub use engine::{Card, Engine};
pub use error::DistributedError;
pub use group::Group;
pub use launch::{free_port, Ended, Endings, Launch};
#[doc(hidden)]
pub use nccl::numbers_of_the_header;
pub use nccl::Nccl;
pub use reducer::{Buckets, Reducer};
pub use world::World;
