//! Batches with a look ahead, and a clock on the waiting.

use std::time::{Duration, Instant};

use super::Batches;
use crate::error::TrainError;

/// An epoch's batches. Whether there are more is known before the next one is taken, so that the last step of an epoch is known
/// as such even where images were skipped and there are fewer batches than planned.
pub(super) struct Feed<B> {
    batches: Batches<B>,
    ahead: Option<Result<B, TrainError>>,
    /// Waiting within a step, whose clock runs.
    inside: Duration,
    /// Waiting between steps, to be put on the next step's account.
    between: Duration,
}

impl<B> Feed<B> {
    pub(super) fn new(batches: Batches<B>) -> Self {
        Self { batches, ahead: None, inside: Duration::ZERO, between: Duration::ZERO }
    }

    pub(super) fn next(&mut self) -> Option<Result<B, TrainError>> {
        if self.ahead.is_some() {
            return self.ahead.take();
        }
        let waiting = Instant::now();
        let next = self.batches.next();
        self.inside += waiting.elapsed();
        next
    }

    /// True when there is no batch left. May wait for one. An error counts as a batch: the next step meets it.
    pub(super) fn is_empty(&mut self) -> bool {
        if self.ahead.is_none() {
            let waiting = Instant::now();
            self.ahead = self.batches.next();
            self.between += waiting.elapsed();
        }
        self.ahead.is_none()
    }

    /// Ends the account of a step that took `elapsed`: time spent waiting, and time in all, that before the step included.
    pub(super) fn account(&mut self, elapsed: Duration) -> (Duration, Duration) {
        let (inside, between) = (std::mem::take(&mut self.inside), std::mem::take(&mut self.between));
        (inside + between, elapsed + between)
    }
}
