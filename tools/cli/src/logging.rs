//! Messages on the way, to stderr, so that stdout holds results only.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::field::Field;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::{debug_fn, Writer};

use crate::launched::is_silent;
use crate::printable;

/// Starts logging. `RUST_LOG` wins over the switches. Of several processes the first one prints what they have in common.
pub fn start(verbose: bool, quiet: bool) {
    let level = match (verbose, quiet) {
        _ if is_silent() => "off",
        (true, _) => "debug",
        (_, true) => "warn",
        _ => "info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("warn,{}", ours(level))));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .with_target(verbose)
        .fmt_fields(debug_fn(field))
        .init();
}

/// A message, or a value with its name, without what would reach the terminal as a command.
fn field(out: &mut Writer, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = printable::lines(&format!("{value:?}"));
    match field.name() {
        "message" => write!(out, "{text}"),
        name => write!(out, " {name}={text}"),
    }
}

/// Our crates at `level`; other crates only warn.
fn ours(level: &str) -> String {
    ["backbone", "heads", "coco", "train", "export", "det"].map(|c| format!("repghost_{c}={level}")).join(",")
}
