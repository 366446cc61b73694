//! TensorRT through its command line, `trtexec`: the right command for the version at hand, and its outputs as numbers.
//!
//! | module | what is in it |
//! |---|---|
//! | [`find`] | where trtexec is, and which version it is |
//! | [`command`] | the command line for TensorRT up to 10 and from 11 on |
//! | [`output`] | what it printed and exported, parsed |

pub mod command;
pub mod find;
pub mod output;

pub use command::{Generation, TrtBench};
pub use find::{find_trtexec, Version};
pub use output::{LayerTime, Profile, Summary, Times};
