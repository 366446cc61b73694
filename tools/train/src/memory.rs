//! Memory: how much the process holds, and settings that keep it flat.

/// Resident memory of this process in MiB; `None` where the system does not tell (it is read from `/proc`).
pub fn resident_mib() -> Option<f64> {
    status_mib("VmRSS:")
}

/// The most that was ever resident, in MiB.
pub fn peak_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

fn status_mib(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|l| l.strip_prefix(key))?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()?;
    Some(kib / 1024.0)
}

/// Variable that bounds oneDNN's cache of compiled convolutions.
const ONEDNN_CACHE: &str = "ONEDNN_PRIMITIVE_CACHE_CAPACITY";

/// oneDNN compiles a kernel for every new shape and keeps 1024 of them: with images of many sizes, memory grows for hours. This many
/// are enough for all shapes of one step.
const ONEDNN_CACHE_ENTRIES: &str = "256";

/// Bounds libtorch's caches. Call it first thing in `main`, before any thread and any tensor; what the user has set stays.
pub fn bound_caches() {
    if std::env::var_os(ONEDNN_CACHE).is_none() {
        std::env::set_var(ONEDNN_CACHE, ONEDNN_CACHE_ENTRIES);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_told_on_linux() {
        let (now, peak) = (super::resident_mib().unwrap(), super::peak_mib().unwrap());
        assert!(now > 1.0 && peak >= now * 0.9, "{now} {peak}");
    }
}
