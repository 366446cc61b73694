//! Experiment files: YAML that inherits, overrides from the command line, and errors that name key and file.
//!
//! A value's way: file → [`node::Node`] (a YAML tree that records for each value who set it) → bases merged ([`load`], [`merge`]) →
//! `key=value` arguments applied ([`overrides`]) → typed [`Experiment`] ([`de`]) → cross-field checks ([`validate`]).
//!
//! The inheritance is mmdetection's (`_base_`, `_delete_`); that each value shows its origin is what its users ask for most when
//! a chain of bases grows long.
//!
//! ```no_run
//! use repghost_train::config::Loaded;
//! let loaded = Loaded::read("experiments/demo.yaml".as_ref(), &["train.epochs=3".to_string()])?;
//! assert_eq!(loaded.experiment.train.epochs, 3);
//! # Ok::<(), repghost_train::config::ConfigError>(())
//! ```

pub mod built_in;
pub mod data_paths;
pub mod de;
pub mod diff;
pub mod error;
pub mod explain;
pub mod load;
pub mod merge;
pub mod node;
pub mod overrides;
pub mod path;
pub mod portable;
pub mod published;
pub mod render;
pub mod schema;
mod source;
pub mod suggest;
pub mod validate;

pub use data_paths::{Split, SplitPaths};
pub use error::ConfigError;
pub use load::Loaded;
pub use node::{Node, Origin};
pub use path::PathTemplate;
pub use schema::*;
