//! How much memory the process holds.

/// Resident memory of this process in MiB; `None` where the system has no such number (it is read from `/proc`).
pub fn resident_mib() -> Option<f64> {
    status_mib("VmRSS:")
}

/// The most that was ever resident, in MiB.
pub fn peak_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

/// Lets the peak start anew at what is resident now, which is returned in MiB. Where the system does not do that the peak stays.
pub fn reset_peak() -> f64 {
    // Linux: "5" resets the high-water mark.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    peak_mib().unwrap_or(0.0)
}

/// Bytes as MiB.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn status_mib(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|l| l.strip_prefix(key))?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()?;
    Some(kib / 1024.0)
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
