//! Where the real data lies.
use std::path::PathBuf;

/// `shared/data/…`, or a printed line where the real data is absent.
pub fn shared(path: &str) -> Option<PathBuf> {
    repghost_testing::shared(&format!("data/{path}"))
}
