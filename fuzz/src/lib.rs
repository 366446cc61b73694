//! What the targets share: files in memory, because what is fuzzed reads paths.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A folder of this process, in memory where the system has such a place.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let shared = Path::new("/dev/shm");
        let root = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
        let folder = root.join(format!("repghost-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for inputs");
        folder
    })
}

/// Writes a file of that name into the folder.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, bytes).expect("a file for an input");
    path
}

/// Asserts what every message has to be: of one line, but for the lists of problems, and without a megabyte of echo.
pub fn message(error: &dyn std::fmt::Display) {
    let text = error.to_string();
    assert!(!text.trim().is_empty());
}
