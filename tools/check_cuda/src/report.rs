//! What a part found.

use serde::Serialize;
use tch::{Kind, Tensor};

/// One comparison: it passes when `error` is not above `limit`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was compared.
    pub name: String,
    /// Largest error, in the unit of the comparison.
    pub error: f64,
    /// Largest error that passes.
    pub limit: f64,
}

impl Row {
    /// A comparison. An error that is no number counts as infinite.
    pub fn new(name: impl Into<String>, error: f64, limit: f64) -> Self {
        Self { name: name.into(), error: if error.is_nan() { f64::INFINITY } else { error }, limit }
    }

    /// Whether it passes.
    pub fn passes(&self) -> bool {
        self.error <= self.limit
    }
}

/// Of many comparisons of one kind the one nearest to failing, with their number in its name.
pub fn worst(name: &str, rows: Vec<Row>) -> Row {
    let count = rows.len();
    let share = |row: &Row| if row.limit > 0.0 { row.error / row.limit } else { row.error * f64::MAX };
    let row = rows.into_iter().max_by(|a, b| share(a).total_cmp(&share(b)));
    let row = row.unwrap_or_else(|| Row::new("nothing was compared", f64::INFINITY, 0.0));
    Row { name: format!("{name} ({count} cases, worst: {})", row.name), ..row }
}

/// Largest difference of two tensors, relative to the largest magnitude of `want` (at least 1e-30). Infinite where shapes differ, or one has
/// no number where the other has one.
pub fn relative(got: &Tensor, want: &Tensor) -> f64 {
    if got.size() != want.size() {
        return f64::INFINITY;
    }
    if want.numel() == 0 {
        return 0.0;
    }
    let (got, want) = (plain(got), plain(want));
    let scale = want.abs().max().double_value(&[]).max(1e-30);
    let error = (got - want).abs().max().double_value(&[]) / scale;
    if error.is_nan() {
        f64::INFINITY
    } else {
        error
    }
}

/// Largest difference of elements, each relative to itself and to a thousandth of the largest.
pub fn elementwise(got: &Tensor, want: &Tensor) -> f64 {
    if got.size() != want.size() {
        return f64::INFINITY;
    }
    if want.numel() == 0 {
        return 0.0;
    }
    let (got, want) = (plain(got), plain(want));
    let floor = want.abs().max() * 1e-3;
    let error = ((got - &want).abs() / (want.abs().maximum(&floor) + 1e-30)).max().double_value(&[]);
    if error.is_nan() {
        f64::INFINITY
    } else {
        error
    }
}

/// Number of elements that differ.
pub fn differing(got: &Tensor, want: &Tensor) -> f64 {
    if got.size() != want.size() {
        return f64::INFINITY;
    }
    plain(got).not_equal_tensor(&plain(want)).sum(Kind::Int64).double_value(&[])
}

fn plain(t: &Tensor) -> Tensor {
    t.detach().to_device(tch::Device::Cpu).to_kind(Kind::Double)
}
