//! Whether `--nproc` started this process.

/// Set in the processes that `--nproc` starts: what they have in common is printed once.
pub const VARIABLE: &str = "REPGHOST_LAUNCHED";

/// Whether another process of `--nproc` prints what this one would.
pub fn is_silent() -> bool {
    launched() && std::env::var("RANK").is_ok_and(|rank| rank != "0")
}

/// Whether `--nproc` started this process.
pub fn launched() -> bool {
    std::env::var_os(VARIABLE).is_some()
}
