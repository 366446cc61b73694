//! What concatenation costs (the RepGhost paper's figures 1 and 2): the 32 sites of GhostNet 1.0x where a Ghost module joins its two halves, as
//! concatenation and as addition of the same two tensors.
//!
//! | module | what is measured |
//! |---|---|
//! | [`sites`] | which tensors meet where |
//! | [`operators`] | all sites one after another, nothing else: figure 1 |
//! | [`eager`] | each site within the running network, in libtorch, and the share of every operator: figure 2 |
//! | [`profile`] | the same in onnxruntime, from its profiler |
//! | [`measure`] | all of them, in turn |
//! | [`outcome`], [`report`] | rows; tables and picture |
//!
//! An addition gives half as many channels as a concatenation, so the rest of the network could not go on from it. Within the network both are
//! therefore computed at each site and timed by themselves; what flows on is the concatenation.

pub mod eager;
pub mod measure;
pub mod operators;
pub mod outcome;
pub mod profile;
pub mod report;
pub mod sites;
pub mod within;

pub use measure::{run, Request};
pub use outcome::Outcome;
