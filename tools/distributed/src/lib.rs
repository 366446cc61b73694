//! Processes that train one network together, by c10d as libtorch has it: a TCP store to meet, gloo to add tensors.
//!
//! ```
//! use repghost_distributed::World;
//!
//! // No launcher started this process.
//! assert!(World::from_variables(|_| None).unwrap().is_none());
//! ```

mod error;
mod group;
mod launch;
mod reducer;
mod shim;
mod world;

pub use error::DistributedError;
pub use group::Group;
pub use launch::{free_port, Ended, Endings, Launch};
pub use reducer::{Buckets, Reducer};
pub use world::World;
