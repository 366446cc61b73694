//! Freed memory that stays with the process.

/// Largest size in bytes that glibc takes from its heap; it keeps as much free memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: libc::c_int = 1 << 30;

/// Has the system's allocator keep large blocks for their next use, where it can (glibc).
///
/// A training step allocates and frees every feature map. By default glibc maps blocks of more than 32 MB, often smaller ones too, anew from
/// the system and gives them back at once: each page is then cleared and entered again in every step, a fifth of the time of a light network.
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: settings of the allocator; a refusal changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}
