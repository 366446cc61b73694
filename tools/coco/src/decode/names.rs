//! Which files of a folder are images or videos.

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

/// File name endings of videos.
pub const VIDEO_ENDINGS: [&str; 14] =
    ["mp4", "m4v", "mov", "avi", "mkv", "webm", "mpg", "mpeg", "ts", "mts", "m2ts", "wmv", "flv", "3gp"];

/// Whether a path is a stream's address (`rtsp://…`, `http://…`) or has a video's ending.
pub fn is_video(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    is_address(path) || ending.is_some_and(|e| VIDEO_ENDINGS.contains(&e.as_str()))
}

/// Whether a path is a stream's address: `SCHEME://…`.
pub fn is_address(path: &Path) -> bool {
    path.to_str().and_then(|p| p.split_once("://")).is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+')
    })
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

    #[test]
    fn videos_have_an_ending_or_an_address() {
        for video in ["a.mp4", "b/c.MOV", "rtsp://camera:554/live?user=a", "http://host/x", "file:///a.bin"] {
            assert!(is_video(Path::new(video)), "{video}");
        }
        for other in ["a.jpg", "mp4", "photos", "C:/a.png", "://a", "a b://c"] {
            assert!(!is_video(Path::new(other)), "{other}");
        }
    }
}
