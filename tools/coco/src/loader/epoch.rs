//! The running epoch: queues, threads, and their end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, Receiver};

use super::Shared;
use crate::error::DataError;
use crate::types::Batch;

/// What a worker delivers for each of its batches; `None` for a batch without a readable image.
type Delivery = Result<Option<Batch>, DataError>;

/// An iterator over the batches of one epoch. Dropping it early stops its threads.
pub struct Epoch {
    shared: Arc<Shared>,
    epoch: usize,
    first: usize,
    batches: Arc<Vec<Vec<usize>>>,
    next: usize,
    queues: Vec<Receiver<Delivery>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    waited: Duration,
}

impl Epoch {
    pub(super) fn start(shared: Arc<Shared>, epoch: usize, first: usize, batches: Vec<Vec<usize>>) -> Self {
        let batches = Arc::new(batches);
        let stop = Arc::new(AtomicBool::new(false));
        let workers = shared.config.workers.min(batches.len());
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for worker in 0..workers {
            let (sender, queue) = bounded(shared.config.prefetch.max(1));
            let (shared, batches, stopped) = (shared.clone(), batches.clone(), stop.clone());
            let work = move || {
                for (number, indices) in batches.iter().enumerate().skip(worker).step_by(workers) {
                    let delivery = shared.batch(epoch, first + number, indices, &stopped);
                    if stopped.load(Ordering::Relaxed) || sender.send(delivery).is_err() {
                        return;
                    }
                }
            };
            match std::thread::Builder::new().name(format!("loader-{worker}")).spawn(work) {
                Ok(thread) => {
                    queues.push(queue);
                    threads.push(thread);
                }
                // The system gives no (further) thread: the consumer's own does the work.
                Err(_) => {
                    stop.store(true, Ordering::Relaxed);
                    queues.clear();
                    threads.drain(..).for_each(|thread| drop(thread.join()));
                    break;
                }
            }
        }
        if queues.is_empty() {
            stop.store(false, Ordering::Relaxed);
        }
        Self { shared, epoch, first, batches, next: 0, queues, threads, stop, waited: Duration::ZERO }
    }

    /// How long the consumer has waited for data so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    fn take(&mut self, number: usize) -> Delivery {
        if self.queues.is_empty() {
            return match self.batches.get(number) {
                Some(indices) => self.shared.batch(self.epoch, self.first + number, indices, &self.stop),
                None => Ok(None),
            };
        }
        let worker = number % self.queues.len();
        self.queues[worker].recv().unwrap_or(Err(DataError::WorkerLost { worker, batch: self.first + number }))
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        let mut found = None;
        while found.is_none() && self.next < self.batches.len() {
            let number = self.next;
            self.next += 1;
            found = self.take(number).transpose();
        }
        self.waited += start.elapsed();
        found
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.batches.len() - self.next))
    }
}

impl Drop for Epoch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.queues.clear(); // a worker that waits for room sees its queue closed
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
