//! The switch of a batch norm's statistics, shared by everything that holds the norm.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// A shared switch of one batch norm: while on, running statistics are used (and not updated) in training too.
///
/// Set by `train.batch_norm.use_running_stats`; forced on by freezing a stage. The order of the two does not matter.
#[derive(Clone, Debug, Default)]
pub struct StatsSwitch(Arc<SwitchState>);

#[derive(Debug, Default)]
struct SwitchState {
    set: AtomicBool,
    frozen: AtomicBool,
}

impl StatsSwitch {
    /// Turns the use of running statistics on or off; a frozen norm stays on.
    pub fn set(&self, use_running: bool) {
        self.0.set.store(use_running, Ordering::Relaxed);
    }

    /// Turns it on for good.
    pub fn freeze(&self) {
        self.0.frozen.store(true, Ordering::Relaxed);
    }

    /// True while running statistics are used in training.
    pub fn get(&self) -> bool {
        self.0.set.load(Ordering::Relaxed) || self.0.frozen.load(Ordering::Relaxed)
    }
}
