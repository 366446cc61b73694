//! Times of one variant, summed up.

use serde::Serialize;

use super::plan::Variant;

/// In milliseconds per run (a whole batch).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Runs.
    pub runs: usize,
    /// Half of the runs took longer.
    pub median_ms: f64,
    /// Mean.
    pub mean_ms: f64,
    /// One run in twenty took longer.
    pub p95_ms: f64,
    /// The fastest run.
    pub min_ms: f64,
}

impl Stats {
    /// Of some times.
    pub fn of(times_ms: &[f64]) -> Option<Self> {
        let mut sorted = times_ms.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (*sorted.first()?, sorted.len() - 1);
        let at = |share: f64| {
            let place = share * last as f64;
            let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        let mean_ms = sorted.iter().sum::<f64>() / sorted.len() as f64;
        Some(Self { runs: sorted.len(), median_ms: at(0.5), mean_ms, p95_ms: at(0.95), min_ms: first })
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was timed.
    #[serde(flatten)]
    pub variant: Variant,
    /// Its times.
    #[serde(flatten)]
    pub stats: Stats,
    /// Images per second, from the median.
    pub images_per_second: f64,
    /// The baseline's median divided by this one: above 1 is faster.
    pub speed_up: Option<f64>,
}

impl Row {
    /// A row without its comparison; none without times.
    pub fn new(variant: Variant, times_ms: &[f64]) -> Option<Self> {
        let stats = Stats::of(times_ms)?;
        let images_per_second = variant.batch as f64 / stats.median_ms * 1e3;
        Some(Self { variant, stats, images_per_second, speed_up: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As numpy's median, mean and percentile (linear interpolation): 1..=21 and 1..=4.
    #[test]
    fn by_hand() {
        let s = Stats::of(&(1..=21).rev().map(f64::from).collect::<Vec<_>>()).unwrap();
        assert_eq!((s.runs, s.median_ms, s.mean_ms, s.p95_ms, s.min_ms), (21, 11.0, 11.0, 20.0, 1.0));
        let s = Stats::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((s.median_ms, s.mean_ms), (2.5, 2.5));
        assert!((s.p95_ms - 3.85).abs() < 1e-12);
        assert_eq!(Stats::of(&[]), None);
    }
}
