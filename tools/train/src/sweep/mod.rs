//! Sweeps: one base experiment, varied along axes and seeds, to a table and pictures.
//!
//! | module | what is in it |
//! |---|---|
//! | [`file`] | the sweep file's keys |
//! | [`overrides`] | named sets of overrides: what a value of an axis changes |
//! | [`filter`] | which combinations are left out |
//! | [`plan`] | a sweep file to a list of trials; shards |
//!
//! Planning reads files and runs nothing, so it is tested without training. Trials are child processes: a crash, a full memory or a
//! panic in libtorch ends one trial, not the sweep.

pub mod file;
pub mod filter;
pub mod overrides;
pub mod plan;

pub use file::{Published, Setting, SweepFile};
pub use plan::{Plan, Shard, Trial};
