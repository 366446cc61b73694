//! How libtorch runs: device, precision, threads.

pub mod compute;

pub use compute::{device, Compute};

/// Threads of libtorch within an operation; `None` leaves it all processors. Results of convolutions may depend on the number in their
/// last bits.
pub fn set_threads(threads: Option<usize>) {
    if let Some(n) = threads.and_then(|n| i32::try_from(n).ok()).filter(|n| *n > 0) {
        tch::set_num_threads(n);
    }
}
