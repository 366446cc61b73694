//! Result of a benchmark.

use serde::Serialize;
use sysinfo::{CpuRefreshKind, RefreshKind, System};

use super::stats::Row;

/// Result of a benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Heading.
    pub title: String,
    /// Height and width of the images.
    pub size: [i64; 2],
    /// The machine, in words.
    pub machine: String,
    /// Rows in the order of the plan.
    pub rows: Vec<Row>,
    /// Lines to print: what was left out and why, where command lines are written.
    pub notes: Vec<String>,
}

/// The processor's name and count.
pub fn machine() -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let model = system.cpus().first().map(|c| c.brand().trim()).filter(|b| !b.is_empty()).unwrap_or("processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} processors, {}", std::env::consts::ARCH)
}
