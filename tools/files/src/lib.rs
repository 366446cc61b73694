//! Atomic writes: a file is either whole or not there. Bounded reads: what has no end is not read.
//!
//! The data goes to a temporary file in the target's folder, is synced, and takes the target's name by a rename. When the process
//! dies on the way, or the disk is full, the target is what it was before.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("notes.txt");
//! repghost_files::write_bytes(&path, b"first")?;
//! repghost_files::write_bytes(&path, b"second")?;
//! assert_eq!(std::fs::read(&path)?, b"second");
//! # Ok(())
//! # }
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Writes `path` through `write`, which gets the temporary file.
///
/// # Errors
/// Those of `write`, and those of the file system (a missing folder, a full disk, a path that names a folder). The target is left as it
/// was and the temporary file is removed.
pub fn write_atomic<E: From<io::Error>>(path: impl AsRef<Path>, write: impl FnOnce(&mut File) -> Result<(), E>) -> Result<(), E> {
    let path = path.as_ref();
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    let mut temporary = readable(&mut builder).tempfile_in(folder)?;
    write(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|e| e.error)?;
    sync_folder(folder);
    Ok(())
}

/// Writes `bytes` to `path`.
///
/// # Errors
/// As [`write_atomic`].
pub fn write_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
    write_atomic(path, |file| file.write_all(bytes))
}

/// Removes what [`write_atomic`] leaves in a folder and its subfolders when its process is killed: `.NAME.RANDOM.tmp`. Nobody may be writing there.
///
/// # Errors
/// Those of the file system.
pub fn remove_temporary(folder: impl AsRef<Path>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            remove_temporary(&path)?;
        } else if is_temporary(&path) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Whether a path has the name of a file that [`write_atomic`] has not finished: `.NAME.RANDOM.tmp`.
pub fn is_temporary(path: impl AsRef<Path>) -> bool {
    let name = path.as_ref().file_name().unwrap_or_default().to_string_lossy();
    let between = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".tmp"));
    let parts = between.and_then(|between| between.rsplit_once('.'));
    parts
        .is_some_and(|(name, random)| !name.is_empty() && !random.is_empty() && random.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// The bytes of a regular file of at most `limit` bytes.
///
/// # Errors
/// Folders; devices and pipes, which have no length and may have no end; files that are longer; those of the file system.
pub fn read_bounded(path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    let refuse = |kind, text: String| Err(io::Error::new(kind, text));
    // Before it is opened: a pipe without a writer would block.
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return refuse(io::ErrorKind::IsADirectory, "it is a folder, a file is expected".into());
    }
    if !kind.is_file() {
        return refuse(io::ErrorKind::InvalidInput, "not a regular file (a device or pipe); save it as a file".into());
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let too_long = || format!("it is longer than {} MiB", limit >> 20);
    if length > limit {
        return refuse(io::ErrorKind::FileTooLarge, too_long());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // A file may grow while it is read, and those of /proc have no length.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => refuse(io::ErrorKind::FileTooLarge, too_long()),
        false => Ok(bytes),
    }
}

/// As [`read_bounded`], for text in UTF-8.
///
/// # Errors
/// As [`read_bounded`]; bytes that are no UTF-8.
pub fn read_text_bounded(path: impl AsRef<Path>, limit: u64) -> io::Result<String> {
    let text = String::from_utf8(read_bounded(path, limit)?);
    text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// Gives the file the permissions of any new file (the umask decides); temporary files are private by default.
#[cfg(unix)]
fn readable<'a, 'b, 'c>(builder: &'c mut tempfile::Builder<'a, 'b>) -> &'c mut tempfile::Builder<'a, 'b> {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(std::fs::Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn readable<'a, 'b, 'c>(builder: &'c mut tempfile::Builder<'a, 'b>) -> &'c mut tempfile::Builder<'a, 'b> {
    builder
}

/// Makes the rename itself durable. Not every file system can, so a failure is no error: the file is whole either way.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_bytes(&path, b"old").unwrap();
        let failed = write_atomic(&path, |f| {
            f.write_all(b"half of the ne")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        write_bytes(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn missing_folders_and_folders_as_targets_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_bytes(folder.path().join("no/a.txt"), b"x").is_err());
        assert!(write_bytes("/", b"x").is_err());
        let target = folder.path().join("folder");
        std::fs::create_dir(&target).unwrap();
        assert!(write_bytes(&target, b"x").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn what_a_killed_process_leaves_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("below")).unwrap();
        for name in ["a.txt", ".a.txt.x1Y2.tmp", "below/.b.y.tmp", "below/b.tmp", ".hidden", ".mine.tmp"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        remove_temporary(folder.path()).unwrap();
        let left = |name: &str| folder.path().join(name).exists();
        assert!(left("a.txt") && left("below/b.tmp") && left(".hidden") && left(".mine.tmp"));
        assert!(!left(".a.txt.x1Y2.tmp") && !left("below/.b.y.tmp"));
    }

    #[test]
    fn what_has_no_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert_eq!(read_text_bounded(&path, 5).unwrap(), "12345");
        assert_eq!(read_bounded(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_bounded(folder.path(), 4).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text_bounded(&path, 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
        // Of a terabyte, nothing is read or reserved.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read_bounded(&path, 1 << 30).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [Path::new("/dev/zero"), Path::new("/dev/null"), &pipe] {
            let refused = read_bounded(path, 1 << 30).unwrap_err();
            assert!(refused.to_string().contains("not a regular file"), "{refused}");
        }
    }

    /// A file that others could read before is not made private by a rewrite.
    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (plain, atomic) = (folder.path().join("plain"), folder.path().join("atomic"));
        std::fs::write(&plain, b"x").unwrap();
        write_bytes(&atomic, b"x").unwrap();
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode();
        assert_eq!(mode(&atomic), mode(&plain));
    }
}
