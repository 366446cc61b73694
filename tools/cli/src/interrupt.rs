//! Ctrl-C: the first asks for an orderly end, the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Exit code of an interrupted program, as shells have it (128 + SIGINT).
const INTERRUPTED: i32 = 130;

/// A flag that Ctrl-C raises. `what` tells people what will happen then.
pub fn flag(what: &'static str) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = flag.clone();
    let handler = move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(INTERRUPTED);
        }
        eprintln!("\n{what}; Ctrl-C again ends at once");
    };
    // A second handler in one process is the only failure, and harmless: Ctrl-C then ends at once.
    let _ = ctrlc::set_handler(handler);
    flag
}
