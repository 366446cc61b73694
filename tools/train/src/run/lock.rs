//! One process trains in a run folder at a time.
//!
//! The lock is the operating system's lock of the file `lock` (flock; on NFS it becomes a byte-range lock of the server): it ends with its
//! process, however that ends, so that no stale lock has to be removed by hand.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::error::{RunFolderProblem, TrainError};

/// Name of the file in a run folder. It holds the process's id, for messages.
pub const FILE: &str = "lock";

/// A locked run folder. Dropping it, or the end of the process, unlocks it.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Locks the folder, which exists.
    ///
    /// # Errors
    /// [`RunFolderProblem::InUse`] where another process holds it; the disk's.
    pub fn acquire(root: &Path) -> Result<Self, TrainError> {
        let path = root.join(FILE);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(TrainError::io(&path))?;
        match file.try_lock() {
            Ok(()) => {
                let id = format!("{}\n", std::process::id());
                file.set_len(0).and_then(|()| file.write_all(id.as_bytes())).map_err(TrainError::io(&path))?;
            }
            Err(TryLockError::WouldBlock) => {
                let problem = RunFolderProblem::InUse { pid: recorded(&mut file) };
                return Err(TrainError::RunFolder { path: root.into(), problem });
            }
            // A file system without locks: two processes in one folder are then not noticed.
            Err(TryLockError::Error(e)) => {
                tracing::warn!("{}: cannot be locked ({e}); do not train twice in this folder", path.display())
            }
        }
        Ok(Self { _file: file })
    }

    /// True while a process trains in the folder.
    pub fn is_held(root: &Path) -> bool {
        let Ok(file) = File::open(root.join(FILE)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

fn recorded(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.take(16).read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_and_freed_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!RunLock::is_held(dir.path()));
        let first = RunLock::acquire(dir.path()).unwrap();
        assert!(RunLock::is_held(dir.path()));
        let refused = RunLock::acquire(dir.path()).unwrap_err().to_string();
        let id = std::process::id().to_string();
        assert!(refused.contains("another process") && refused.contains(&id), "{refused}");
        drop(first);
        assert!(!RunLock::is_held(dir.path()));
        RunLock::acquire(dir.path()).unwrap();
    }
}
