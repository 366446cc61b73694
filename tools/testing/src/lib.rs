//! What tests share: their needs from the machine (onnxruntime, real data, a Python package), and comparison of lists as sets.
//!
//! A test that lacks it is skipped, with a printed line. Output of passing tests is hidden, so a skipped test looks like a passed one:
//! where the need is expected to be met, as in CI, `REPGHOST_EXPECT` names it, and the test fails instead.
//!
//! ```
//! // REPGHOST_EXPECT=onnxruntime,shared
//! # fn library() -> Option<&'static str> { Some("libonnxruntime.so") }
//! let Some(library) = repghost_testing::need("onnxruntime", library(), "run `make setup`") else { return };
//! # assert_eq!(library, "libonnxruntime.so");
//! ```

use std::path::{Path, PathBuf};

/// Lists, separated by commas, the needs that are expected to be met.
pub const VARIABLE: &str = "REPGHOST_EXPECT";
/// Names the folder of the real data; without it, `../shared` beside the checkout.
pub const SHARED: &str = "REPGHOST_SHARED";

/// Passes on what a test needs. Where it is absent, prints that the test is skipped.
///
/// # Panics
/// Where the need is absent and `REPGHOST_EXPECT` lists it; the message has how to meet it.
pub fn need<T>(name: &str, found: Option<T>, how: &str) -> Option<T> {
    if found.is_none() {
        let expected = std::env::var(VARIABLE).unwrap_or_default();
        assert!(!lists(&expected, name), "{name} is absent, but {VARIABLE} expects it: {how}");
        println!("skipped: {name} is absent ({how})");
    }
    found
}

/// A file or folder below the shared folder, such as `data/edge_cases`.
///
/// # Panics
/// As [`need`], under the name `shared`.
pub fn shared(path: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let full = std::env::var_os(SHARED).map_or_else(beside, PathBuf::from).join(path);
    need("shared", full.exists().then_some(full), &format!("{path} is not in ${SHARED} or ../shared"))
}

/// Pairs each element of `got` with the nearest one of `want` that is still free: the position in `want` of each, and the largest distance.
/// Infinity where the lists differ in length.
pub fn pair<T>(got: &[T], want: &[T], distance: impl Fn(&T, &T) -> f64) -> (Vec<usize>, f64) {
    if got.len() != want.len() {
        return (vec![], f64::INFINITY);
    }
    let mut free: Vec<usize> = (0..want.len()).collect();
    let mut worst: f64 = 0.0;
    let pairs = got
        .iter()
        .map(|g| {
            let (at, off) = free
                .iter()
                .enumerate()
                .map(|(at, w)| (at, distance(g, &want[*w])))
                .min_by(|a, b| a.1.total_cmp(&b.1))
                .expect("as many are free as are left");
            worst = if off.is_nan() { f64::INFINITY } else { worst.max(off) };
            free.swap_remove(at)
        })
        .collect();
    (pairs, worst)
}

/// Whether a list names a need.
fn lists(expected: &str, name: &str) -> bool {
    expected.split(',').any(|e| e.trim() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_the_nearest_in_any_order() {
        let apart = |a: &f64, b: &f64| (a - b).abs();
        let (pairs, worst) = pair(&[3.0, 1.0, 1.5], &[1.0, 1.25, 3.25], apart);
        assert_eq!((pairs, worst), (vec![2, 0, 1], 0.25));
        assert_eq!(pair(&[1.0], &[1.0, 2.0], apart).1, f64::INFINITY, "one is missing");
        assert_eq!(pair(&[f64::NAN], &[1.0], apart).1, f64::INFINITY);
    }

    #[test]
    fn lists_are_separated_by_commas() {
        assert!(lists("onnxruntime, shared", "shared") && lists("shared", "shared"));
        assert!(!lists("", "shared") && !lists("onnxruntime", "shared") && !lists("sharedx", "shared"));
    }
}
