//! Ctrl-C: the first asks for an orderly end, the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use crate::exit;
use crate::launched::launched;

/// Exit code of an interrupted program, as shells have it (128 + SIGINT).
const INTERRUPTED: u8 = 130;

/// A flag that Ctrl-C raises. `what` is printed then: what the program still does.
pub fn flag(what: &'static str) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = flag.clone();
    let handler = move || {
        if raised.swap(true, Ordering::Relaxed) {
            exit::at_once(INTERRUPTED);
        }
        if !launched() {
            eprintln!("\n{what}; Ctrl-C again ends at once");
        }
    };
    // A second handler in one process is the only failure, and harmless: Ctrl-C then ends at once.
    let _ = ctrlc::set_handler(handler);
    flag
}
