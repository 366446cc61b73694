//! Times of joins within a running network.

/// Times within a network.
#[derive(Clone, Debug, Default)]
pub struct Within {
    /// All sites as concatenation, milliseconds.
    pub concat_ms: f64,
    /// All sites as addition.
    pub add_ms: f64,
    /// Share of each kind of operator in the network's time, greatest first.
    pub shares: Vec<(String, f64)>,
}

/// Shares of sums of times, greatest first.
pub fn shares(sums: impl IntoIterator<Item = (String, f64)>) -> Vec<(String, f64)> {
    let mut all: Vec<(String, f64)> = sums.into_iter().collect();
    let total: f64 = all.iter().map(|(_, t)| t).sum();
    all.iter_mut().for_each(|(_, t)| *t /= total.max(f64::MIN_POSITIVE));
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}
