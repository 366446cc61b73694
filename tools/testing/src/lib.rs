//! What some tests need from the machine: onnxruntime, real data, a Python package.
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
/// Where the need is absent and `REPGHOST_EXPECT` lists it; the message says how to meet it.
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

/// Whether a list names a need.
fn lists(expected: &str, name: &str) -> bool {
    expected.split(',').any(|e| e.trim() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_separated_by_commas() {
        assert!(lists("onnxruntime, shared", "shared") && lists("shared", "shared"));
        assert!(!lists("", "shared") && !lists("onnxruntime", "shared") && !lists("sharedx", "shared"));
    }
}
