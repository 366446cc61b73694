//! A mark in a folder that is being filled with many files, each of which is written atomically.
//!
//! The mark goes last. Where it is found, files are missing; whoever would write the same again goes on behind what is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use repghost_files::{is_temporary, remove_temporary};

use crate::error::DataError;
use crate::files::write_atomic;

/// Name of the mark. It starts with a dot, as what is no data does.
const MARK: &str = ".incomplete";
/// Bytes of a mark that are read.
const MAX_BYTES: u64 = 16 << 20;

/// A folder that is being filled.
#[derive(Debug)]
pub struct Unfinished {
    mark: PathBuf,
}

impl Unfinished {
    /// Marks an empty or new folder with what it will hold, or goes on with one that was marked with the same; temporary files in its
    /// subfolders, of a process that was killed, are removed.
    ///
    /// # Errors
    /// A folder that holds something else; the disk's.
    pub fn begin(folder: &Path, recipe: &str) -> Result<Self, DataError> {
        let mark = folder.join(MARK);
        let refuse = |reason: &str| Err(DataError::Folder { path: folder.into(), reason: reason.into() });
        if fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| !is_temporary(entry.path()))) {
            match repghost_files::read_text_bounded(&mark, MAX_BYTES) {
                Ok(before) if before == recipe => {
                    remove_temporary(folder).map_err(|source| DataError::Write { path: folder.into(), source })?;
                    return Ok(Self { mark });
                }
                Ok(_) => {
                    return refuse("holds a part of something else, which was interrupted; name another folder, or delete it")
                }
                Err(_) => return refuse("is there already and not empty; name another folder, or delete it"),
            }
        }
        write_atomic(&mark, recipe.as_bytes()).map_err(|source| DataError::Write { path: mark.clone(), source })?;
        Ok(Self { mark })
    }

    /// Removes the mark: everything is there.
    ///
    /// # Errors
    /// The disk's.
    pub fn complete(self) -> Result<(), DataError> {
        match fs::remove_file(&self.mark) {
            // Two processes may fill one folder with the same files.
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DataError::Write { path: self.mark, source }),
            _ => Ok(()),
        }
    }

    /// Whether a folder is marked.
    pub fn is_marked(folder: &Path) -> bool {
        folder.join(MARK).exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_interrupted_goes_on_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("set");
        let first = Unfinished::begin(&root, "a").unwrap();
        assert!(Unfinished::is_marked(&root));
        write_atomic(&root.join("class/1.png"), b"whole").unwrap();
        fs::write(root.join("class/.2.png.x1.tmp"), b"ha").unwrap();
        fs::write(root.join(".class.x1.tmp"), b"ha").unwrap();
        drop(first);
        let other = Unfinished::begin(&root, "b").unwrap_err().to_string();
        assert!(other.contains("something else"), "{other}");
        assert!(root.join("class/.2.png.x1.tmp").exists(), "a refused folder is left alone");
        let again = Unfinished::begin(&root, "a").unwrap();
        assert_eq!(fs::read_dir(root.join("class")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 2, "class and mark");
        again.complete().unwrap();
        assert!(!Unfinished::is_marked(&root));
        // Killed before the mark was there.
        let early = folder.path().join("early");
        write_atomic(&early.join("..incomplete.x1.tmp"), b"ha").unwrap();
        Unfinished::begin(&early, "a").unwrap();
        let whole = Unfinished::begin(&root, "a").unwrap_err().to_string();
        assert!(whole.contains("not empty"), "{whole}");
    }
}
