//! Files that are either old or new, never half written.

use std::io::{self, Cursor};
use std::path::Path;

use image::{ImageFormat, RgbImage};

/// Writes `bytes` atomically (see [`repghost_files`]). Parent folders are made.
///
/// # Errors
/// Those of the file system; the target is then as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    repghost_files::write_bytes(path, bytes)
}

/// Writes a picture in the format that its ending names (`.png`, `.jpg`, `.bmp`, `.webp`, …), as [`write_atomic`] does.
///
/// # Errors
/// An ending that names no format of pictures; the system's message.
pub fn write_picture(path: &Path, image: &RgbImage) -> io::Result<()> {
    let format = ImageFormat::from_path(path).ok().filter(ImageFormat::writing_enabled);
    let unknown = || io::Error::new(io::ErrorKind::InvalidInput, "the ending names no kind of picture; take .png or .jpg");
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format.ok_or_else(unknown)?).map_err(io::Error::other)?;
    write_atomic(path, bytes.get_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_what_their_endings_name() {
        let folder = tempfile::tempdir().unwrap();
        let picture = RgbImage::new(4, 4);
        for (name, format) in [("a.png", ImageFormat::Png), ("b.JPG", ImageFormat::Jpeg), ("c.bmp", ImageFormat::Bmp)] {
            write_picture(&folder.path().join(name), &picture).unwrap();
            let bytes = std::fs::read(folder.path().join(name)).unwrap();
            assert_eq!(image::guess_format(&bytes).unwrap(), format, "{name}");
        }
        for name in ["d.txt", "e"] {
            let error = write_picture(&folder.path().join(name), &picture).unwrap_err();
            assert!(error.to_string().contains(".png or .jpg") && !folder.path().join(name).exists());
        }
    }

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
