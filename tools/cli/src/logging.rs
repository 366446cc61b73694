//! Messages on the way, to stderr, so that stdout holds results only.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::EnvFilter;

/// Starts logging. `RUST_LOG` wins over the switches.
pub fn start(verbose: bool, quiet: bool) {
    let level = match (verbose, quiet) {
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
        .init();
}

/// Our crates at `level`; other crates only warn.
fn ours(level: &str) -> String {
    ["backbone", "heads", "coco", "train", "export", "det"].map(|c| format!("repghost_{c}={level}")).join(",")
}
