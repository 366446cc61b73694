//! How libtorch runs: device, precision, threads.

pub mod compute;

pub use compute::{device, Compute};

/// Threads of libtorch within an operation. `None`: as many as libtorch takes (a thread per core, or `OMP_NUM_THREADS`), but no more than
/// this process may use: libtorch counts the machine's processors, not a container's quota. Results of convolutions may depend on the
/// number in their last bits.
pub fn set_threads(threads: Option<usize>) {
    let default = || within(tch::get_num_threads(), std::thread::available_parallelism().map_or(usize::MAX, usize::from));
    if let Some(n) = threads.map_or_else(default, |n| i32::try_from(n).ok()).filter(|n| *n > 0) {
        tch::set_num_threads(n);
    }
}

/// The threads to set where libtorch would take `own`; `None` where that is not too many.
fn within(own: i32, available: usize) -> Option<i32> {
    i32::try_from(available).ok().filter(|available| own > *available)
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn a_quota_lowers_the_number_and_nothing_raises_it() {
        assert_eq!(within(32, 2), Some(2));
        assert_eq!(within(2, 2), None);
        assert_eq!(within(1, 8), None, "OMP_NUM_THREADS=1 stays");
        assert_eq!(within(4, usize::MAX), None);
    }
}
