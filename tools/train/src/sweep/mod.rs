//! Sweeps: one base experiment, varied along axes and seeds, to a table and pictures.
//!
//! | module | what is in it |
//! |---|---|
//! | [`mod@file`] | the sweep file's keys |
//! | [`axis`] | values by name, or a plain list of values of one key |
//! | [`overrides`] | named sets of overrides: what a value of an axis changes |
//! | [`filter`] | which combinations are left out |
//! | [`plan`] | a sweep file to a list of trials; shards |
//! | [`folder`], [`watch`] | where a sweep keeps what; what is seen of a trial from outside |
//! | [`runner`] | trials as child processes |
//! | [`results`], [`cost`] | mean and deviation over seeds; what a row's backbone costs |
//! | [`verdicts`] | which rows differ from the first by more than chance |
//! | [`table`], [`picture`], [`report`] | Markdown, CSV, JSON; PNG and SVG |
//!
//! Planning reads files and runs nothing, so it is tested without training. Trials are child processes: a crash, a full memory or a
//! panic in libtorch ends one trial, not the sweep.

pub mod axis;
pub mod cost;
pub mod file;
pub mod filter;
pub mod folder;
pub mod overrides;
pub mod picture;
pub mod plan;
pub mod report;
pub mod results;
pub mod runner;
pub mod table;
pub mod verdicts;
pub mod watch;

pub use file::{Published, Setting, SweepFile};
pub use folder::{Status, SweepFolder};
pub use plan::{Plan, Shard, Trial};
pub use results::Results;
pub use runner::{Event, RunOptions, Summary};
