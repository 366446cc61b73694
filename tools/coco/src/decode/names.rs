//! Which files of a folder are images.

use std::path::Path;

/// Endings of the names of image files, without the dot, in lower case.
pub const IMAGE_ENDINGS: [&str; 9] = ["jpg", "jpeg", "jfif", "png", "bmp", "webp", "gif", "tif", "tiff"];

/// Whether a file is taken for an image, by the ending of its name. (Its content decides how it is decoded.)
pub fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|e| IMAGE_ENDINGS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// Whether a file or folder is hidden or a leftover of an archive: names that start with a dot (macOS's `._photo.jpg` too), and `__MACOSX`.
pub fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_in_any_case_and_leftovers_of_archives() {
        for name in ["a.jpg", "b.JPEG", "c.jfif", "d.tiff", "e.TIF", "a=b.png"] {
            assert!(is_image(Path::new(name)) && !is_hidden(Path::new(name)), "{name}");
        }
        for name in ["notes.txt", "jpg", "Thumbs.db", "a.jpg.txt"] {
            assert!(!is_image(Path::new(name)), "{name}");
        }
        for name in [".hidden", "x/._a.jpg", "x/__MACOSX"] {
            assert!(is_hidden(Path::new(name)), "{name}");
        }
    }
}
