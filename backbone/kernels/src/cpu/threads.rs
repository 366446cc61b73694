//! Work spread over as many threads as libtorch is set to use.
//!
//! The thread that calls works as well, so that short calls wait for nobody; the others are rayon's, which sleep between calls.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Multiply-adds (or as many bytes moved) that are worth waking another thread: some 50 microseconds.
const WORTH_A_THREAD: usize = 1_000_000;

thread_local! {
    /// Threads of a call that [`with_threads`] is running.
    static THREADS: Cell<usize> = const { Cell::new(1) };
}

/// Runs `f`; what it spreads goes to at most `threads` threads.
pub(crate) fn with_threads<R>(threads: usize, f: impl FnOnce() -> R) -> R {
    let before = THREADS.replace(threads.max(1));
    let result = f();
    THREADS.set(before);
    result
}

/// Threads for `work` multiply-adds.
pub(crate) fn threads(work: usize) -> usize {
    THREADS.get().min(work / WORTH_A_THREAD + 1)
}

/// Calls `f` with each number below `count`; `work` is the multiply-adds of all calls together. Threads take the next number when they are
/// done with one, so that a busy core slows nobody else down.
pub(crate) fn for_each(count: usize, work: usize, f: impl Fn(usize) + Sync) {
    let threads = threads(work).min(count);
    if threads < 2 {
        return (0..count).for_each(f);
    }
    let next = AtomicUsize::new(0);
    let take = || loop {
        let i = next.fetch_add(1, Ordering::Relaxed);
        if i >= count {
            return;
        }
        f(i);
    };
    rayon::in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| take());
        }
        take();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once() {
        for (count, threads) in [(0, 4), (1, 4), (1000, 1), (1000, 3)] {
            let calls: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            with_threads(threads, || for_each(count, usize::MAX / 2, |i| _ = calls[i].fetch_add(1, Ordering::Relaxed)));
            assert!(calls.iter().all(|c| c.load(Ordering::Relaxed) == 1), "{count} numbers, {threads} threads");
        }
    }

    #[test]
    fn small_work_stays_on_its_thread() {
        with_threads(8, || assert_eq!([threads(1000), threads(usize::MAX)], [1, 8]));
        assert_eq!(threads(usize::MAX), 1);
    }
}
