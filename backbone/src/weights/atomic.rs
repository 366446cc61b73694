//! Files that are either whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Writes a file under a temporary name beside `path`, syncs it and renames it to `path`. When `write` fails, or the process dies,
/// whatever was at `path` is still there, whole.
///
/// # Errors
/// Those of `write`, and the disk's. The temporary file is removed.
pub fn write_atomic<E: From<io::Error>>(path: impl AsRef<Path>, write: impl FnOnce(&mut File) -> Result<(), E>) -> Result<(), E> {
    let path = path.as_ref();
    let temporary = Temporary::beside(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary.0)?;
    write(&mut file)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary.0, path)?;
    std::mem::forget(temporary);
    sync_folder(path);
    Ok(())
}

/// A temporary name whose file is removed when dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!(".{}.{}.{unique}.tmp", name.to_string_lossy(), std::process::id());
        Ok(Self(path.with_file_name(name)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes the rename itself durable. Not every file system can, so a failure is no error: the file is whole either way.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_atomic(&path, |f| f.write_all(b"old")).unwrap();
        let failed = write_atomic(&path, |f| {
            f.write_all(b"half of the ne")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        write_atomic(&path, |f| f.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write_atomic::<io::Error>(dir.path().join("no/a.txt"), |_| Ok(())).is_err());
        assert!(write_atomic::<io::Error>("/", |_| Ok(())).is_err());
    }
}
