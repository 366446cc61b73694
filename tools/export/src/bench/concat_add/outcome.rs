//! Result of the comparison.

use serde::Serialize;

use crate::runtime::Runtime;

/// One runtime at one batch and number of threads; milliseconds per run, medians.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Runtime.
    pub runtime: &'static Runtime,
    /// Images per run.
    pub batch: i64,
    /// Threads.
    pub threads: usize,
    /// All sites as concatenation, alone.
    pub concat_ms: f64,
    /// All sites as addition, alone.
    pub add_ms: f64,
    /// The whole network.
    pub network_ms: f64,
    /// All sites as concatenation within the network, where the runtime reports them.
    pub concat_within_ms: Option<f64>,
    /// All sites as addition within the network.
    pub add_within_ms: Option<f64>,
    /// Share of each kind of operator in the network's time, greatest first.
    pub shares: Vec<(String, f64)>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The network.
    pub network: String,
    /// Number of sites.
    pub sites: usize,
    /// The machine, in words.
    pub machine: String,
    /// Height and width of the images.
    pub size: [i64; 2],
    /// A row per runtime, batch and number of threads.
    pub rows: Vec<Row>,
    /// Lines to print.
    pub notes: Vec<String>,
}
