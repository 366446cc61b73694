//! How libtorch runs: device, precision, threads.

pub mod compute;

pub use compute::{device, Compute};

/// Threads of libtorch within an operation. `None`: as many as libtorch takes (a thread per core, or `OMP_NUM_THREADS`), but no more than
/// this process may use: libtorch counts the machine's processors, not a container's quota. Results of convolutions may depend on the
/// number in their last bits.
pub fn set_threads(threads: Option<usize>) {
    let allowed = std::thread::available_parallelism().map_or(usize::MAX, usize::from);
    tch::set_num_threads(threads_to_use(threads, tch::get_num_threads(), allowed));
}

/// libtorch starts a thread per processor of the machine; a container's quota (cgroups) may allow fewer, and threads beyond it wait for
/// each other.
fn threads_to_use(asked: Option<usize>, libtorch: i32, allowed: usize) -> i32 {
    let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX).max(1);
    asked.filter(|n| *n > 0).map_or(libtorch.min(number(allowed)).max(1), number)
}

/// The machine's name, as far as the system reports it.
pub(crate) fn host() -> String {
    std::fs::read_to_string("/etc/hostname").map_or_else(|_| "unknown".into(), |name| name.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::threads_to_use;

    #[test]
    fn a_quota_limits_what_nobody_asked_for() {
        assert_eq!(threads_to_use(None, 64, 4), 4);
        assert_eq!(threads_to_use(None, 2, 64), 2, "OMP_NUM_THREADS stays");
        assert_eq!(threads_to_use(Some(8), 64, 4), 8, "what is asked for is taken");
        assert_eq!(threads_to_use(Some(0), 64, 4), 4);
    }
}
