//! Result of a benchmark.

use serde::Serialize;

use super::stats::Row;

/// What came of a benchmark.
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
    /// Lines for people: what was left out and why, where commands lie.
    pub notes: Vec<String>,
}

/// The processor's name and count.
pub fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split(':').nth(1)).map_or("processor", str::trim);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} processors, {}", std::env::consts::ARCH)
}
