//! Files that are either old or new, never half written.

use std::io::{self, Cursor, Write};
use std::path::Path;

use image::{ImageFormat, RgbImage};

/// Writes beside the target under a temporary name, syncs, renames. Parent folders are made.
///
/// # Errors
/// What the system says; the target is then as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        std::fs::create_dir_all(parent)?;
    }
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = std::fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    match written.and_then(|()| std::fs::rename(&temporary, path)) {
        Ok(()) => Ok(()),
        Err(error) => {
            // The first error is the one to tell; a leftover file is not worth a second.
            let _ = std::fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// Writes a picture as PNG, as [`write_atomic`] does.
///
/// # Errors
/// What the system says.
pub fn write_png(path: &Path, image: &RgbImage) -> io::Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).map_err(io::Error::other)?;
    write_atomic(path, bytes.get_ref())
}

#[cfg(test)]
mod tests {
    use super::write_atomic;

    #[test]
    fn writes_into_new_folders_and_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        // A folder cannot be replaced by a file.
        assert!(write_atomic(path.parent().unwrap(), b"x").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
