//! Which libtorch a folder holds.

use std::path::Path;

/// The libtorch that this program is made for.
pub const VERSION: &str = "2.11.0";

/// Version of the libtorch in a folder, without what stands behind a plus: a libtorch has it in `build-version`, a pip torch in
/// `version.py`.
pub fn version_in(folder: &Path) -> Option<String> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let plain = |text: &str| text.trim().split('+').next().filter(|v| !v.is_empty()).map(str::to_string);
    if let Some(text) = read("build-version") {
        return plain(&text);
    }
    let text = read("version.py")?;
    let line = text.lines().find(|l| l.starts_with("__version__"))?;
    plain(line.split(['\'', '"']).nth(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_folders_have_a_version() {
        let dir = std::env::temp_dir().join(format!("repghost-libtorch-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        assert_eq!(version_in(&dir), None);
        let python = "from typing import Optional\n__all__ = ['__version__']\n__version__ = '2.11.0+cu130'\ncuda: Optional[str] = '13.0'\n";
        std::fs::write(dir.join("version.py"), python).unwrap();
        assert_eq!(version_in(&dir).as_deref(), Some("2.11.0"));
        std::fs::write(dir.join("build-version"), "2.9.1\n").unwrap();
        assert_eq!(version_in(&dir).as_deref(), Some("2.9.1"));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
