//! Configuration structs that describe and check themselves.
//!
//! What a key means, its unit and its range stand once, beside its field: the doc comment and the `schemars` attributes. From these
//! come the checks, the explanations (`config --explain`, `docs/keys.md`) and the JSON schema of experiment files, so none of them can
//! differ from the code.
//!
//! | module | what is in it |
//! |---|---|
//! | [`mod@check`] | the trait [`Check`]: all problems of a struct and its parts at once, each under its dotted key |
//! | [`mod@problem`] | what is wrong, with its key |
//! | [`mod@schema`] | the schema of a struct, and the numbers in a value that lie outside it |
//! | [`mod@range`] | what a number or a list may be, as a test and as words |
//! | [`mod@keys`] | the keys of a schema as a list: type, default, unit, range, meaning |
//!
//! ```
//! use repghost_config::{Check, Checker};
//! use schemars::JsonSchema;
//! use serde::Serialize;
//!
//! /// Two thresholds.
//! #[derive(Serialize, JsonSchema)]
//! struct Thresholds {
//!     /// IoU from which on an anchor is foreground.
//!     #[schemars(range(min = 0.0, max = 1.0))]
//!     foreground: f64,
//!     /// IoU below which an anchor is background.
//!     #[schemars(range(min = 0.0, max = 1.0))]
//!     background: f64,
//! }
//!
//! impl Check for Thresholds {
//!     fn rules(&self, at: &mut Checker) {
//!         at.require(self.background <= self.foreground, "background", self.background, "at most foreground");
//!     }
//! }
//!
//! let problems = Thresholds { foreground: 7.0, background: 8.0 }.check("head").unwrap_err();
//! assert_eq!(problems.0[0].to_string(), "head.foreground: found 7, expected a number from 0 to 1");
//! assert_eq!(problems.0.len(), 2);
//! ```

pub mod check;
pub mod keys;
pub mod problem;
pub mod range;
pub mod schema;

pub use check::{Check, Checker};
pub use keys::{Key, Section};
pub use problem::{Problem, Problems};
pub use schema::{items_above_zero, Schema};
