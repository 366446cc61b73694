//! Test support (feature `testing`): numbers from Python, as a safetensors file that a script in `tools/fixtures/` wrote.
//!
//! Small tensors are kept whole; of large maps the scripts keep a sample (every k-th element) and three sums, so that an error anywhere
//! is caught by the sums and its size is shown by the sample. Weights are never kept: both sides make them ([`synthetic`]).

use std::path::Path;

use tch::{Kind, Tensor};

use crate::synthetic;
use crate::weights::{self, StateDict};

/// Sums of a map agree to this part of its sum of absolute values.
const SUM_TOLERANCE: f64 = 1e-5;

/// A fixture file.
#[derive(Debug)]
pub struct Fixture(StateDict);

impl Fixture {
    /// Opens `folder/tests/fixtures/name` (call with `env!("CARGO_MANIFEST_DIR")`).
    ///
    /// # Panics
    /// When the file cannot be read, like all of this module: it serves tests.
    pub fn open(folder: &str, name: &str) -> Self {
        let path = Path::new(folder).join("tests/fixtures").join(name);
        Self(weights::read(path).unwrap_or_else(|e| panic!("{e}")))
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Tensor {
        self.0.get(name).unwrap_or_else(|| panic!("no tensor '{name}' in the fixture")).shallow_clone()
    }

    /// Compares with the whole tensor `name`: same shape, and no element further off than `tolerance`. Returns the largest
    /// difference.
    pub fn compare(&self, name: &str, actual: &Tensor, tolerance: f64) -> f64 {
        let expected = self.tensor(name);
        assert_eq!(actual.size(), expected.size(), "{name}: shape");
        let off = largest_difference(actual, &expected);
        assert!(off <= tolerance, "{name}: off by {off:e}, more than {tolerance:e}");
        off
    }

    /// Compares with the sample and sums of `name`. Returns the largest difference within the sample.
    pub fn compare_sampled(&self, name: &str, actual: &Tensor, tolerance: f64) -> f64 {
        let sample = self.tensor(&format!("{name}.sample"));
        let flat = actual.reshape([-1]);
        let kept = sample.numel() as i64;
        let step = (flat.numel() as i64 / kept).max(1);
        let off = largest_difference(&flat.slice(0, 0, step * kept, step), &sample);
        assert!(off <= tolerance, "{name}: off by {off:e}, more than {tolerance:e}");

        let flat = flat.to_kind(Kind::Double);
        let weighted = &flat * synthetic::input("weighted", &flat.size()).to_kind(Kind::Double);
        let actual = Tensor::stack(&[flat.sum(None), flat.abs().sum(None), weighted.sum(None)], 0);
        let expected = self.tensor(&format!("{name}.sums"));
        let allowed = SUM_TOLERANCE * expected.double_value(&[1]);
        let off_sums = largest_difference(&actual, &expected);
        assert!(off_sums <= allowed, "{name}: sums off by {off_sums:e}, more than {allowed:e}");
        off
    }
}

/// The largest absolute difference of two tensors of one shape; NaN anywhere counts as infinite.
pub fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size(), "shapes");
    if a.numel() == 0 {
        return 0.0;
    }
    let off = (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[]);
    if off.is_nan() {
        f64::INFINITY
    } else {
        off
    }
}
