//! Where the real data lies.
use std::path::{Path, PathBuf};

/// `shared/data/…`, or a printed line where the real data is absent.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("REPGHOST_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let full = root.join("data").join(path);
    if !full.exists() {
        println!("skipped: shared/data/{path} absent");
        return None;
    }
    Some(full)
}
