//! Image files: finding them, and reading them as a source of samples without objects.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use repghost_coco::decode::{
    decode_image, image_size, is_hidden, is_image, is_video, read_bytes, read_header, DecodeConfig, IMAGE_ENDINGS,
};
use repghost_coco::{shards, DataError, Sample, SampleTarget, Source};

use crate::error::TrainError;

/// Image files, and what was passed over on the way to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundImages {
    /// The files that were named and those in the folders that were named (sorted within each), in this order.
    pub paths: Vec<PathBuf>,
    /// Hidden files and folders (`.…`, `__MACOSX`).
    pub hidden: usize,
    /// Files that are no images by their names.
    pub others: usize,
    /// Videos.
    pub videos: usize,
    /// Subfolders that were not searched.
    pub folders: usize,
}

impl FoundImages {
    /// Finds image files. A file that is named is taken whatever its name; subfolders are searched with `recursive`.
    ///
    /// # Errors
    /// Paths that do not exist, folders without an image.
    pub fn find(paths: &[PathBuf], recursive: bool) -> Result<Self, TrainError> {
        let mut found = Self::default();
        for path in paths {
            if shards::is_shards(path) {
                let set = shards::Shards::open(path)?;
                let (images, others): (Vec<PathBuf>, Vec<PathBuf>) = set.members().partition(|member| is_image(member));
                found.others += others.len();
                found.paths.extend(images);
                continue;
            }
            if !std::fs::metadata(path).map_err(TrainError::io(path))?.is_dir() {
                found.paths.push(path.clone());
                continue;
            }
            let (before, folders) = (found.paths.len(), found.folders);
            found.search(path, recursive)?;
            if found.paths.len() == before {
                let (endings, folders) = (IMAGE_ENDINGS.join(", "), found.folders - folders);
                return Err(TrainError::NoImagesInFolder { path: path.clone(), endings, folders });
            }
        }
        Ok(found)
    }

    fn search(&mut self, folder: &Path, recursive: bool) -> Result<(), TrainError> {
        let entries = std::fs::read_dir(folder).map_err(TrainError::io(folder))?;
        let paths: Result<Vec<PathBuf>, _> = entries.map(|e| e.map(|e| e.path())).collect();
        let mut paths = paths.map_err(TrainError::io(folder))?;
        paths.sort();
        for path in paths {
            if is_hidden(&path) {
                self.hidden += 1;
            } else if path.is_dir() {
                // A link may lead back up, and then round in a circle.
                if recursive && !path.is_symlink() {
                    self.search(&path, recursive)?;
                } else {
                    self.folders += 1;
                }
            } else if is_image(&path) {
                self.paths.push(path);
            } else if is_video(&path) {
                self.videos += 1;
            } else {
                self.others += 1;
            }
        }
        Ok(())
    }

    /// `passed over: 2 hidden, 1 that are no images`; `None` where nothing was.
    pub fn passed_over(&self) -> Option<String> {
        let count = |n: usize, what: &str| (n > 0).then(|| format!("{n} {what}"));
        let parts: Vec<String> = [
            count(self.hidden, "hidden"),
            count(self.others, if self.others == 1 { "that is no image" } else { "that are no images" }),
            count(
                self.videos,
                if self.videos == 1 { "video (name it to predict on it)" } else { "videos (name them to predict on them)" },
            ),
            count(self.folders, if self.folders == 1 { "subfolder" } else { "subfolders" }),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| format!("passed over: {}", parts.join(", ")))
    }
}

/// Image files as a source of samples without objects; ids count from 1.
pub struct ImageFiles {
    paths: Vec<PathBuf>,
    decode: DecodeConfig,
    turned: AtomicUsize,
}

impl ImageFiles {
    /// A source over files.
    pub fn new(paths: Vec<PathBuf>, decode: DecodeConfig) -> Self {
        Self { paths, decode, turned: AtomicUsize::new(0) }
    }

    /// Images that were read so far and turned upright by their EXIF orientation.
    pub fn turned(&self) -> usize {
        self.turned.load(Ordering::Relaxed)
    }
}

impl Source for ImageFiles {
    fn len(&self) -> usize {
        self.paths.len()
    }

    fn aspect(&self, index: usize) -> f64 {
        let size = self.paths.get(index).and_then(|p| image_size(p, &self.decode).ok());
        size.map_or(1.0, |[w, h]| w as f64 / h.max(1) as f64)
    }

    fn load(&self, index: usize) -> Result<Sample, DataError> {
        let path = self.paths.get(index).ok_or(DataError::NoSuchSample { index, len: self.paths.len() })?;
        let bytes = read_bytes(path)?;
        let image = decode_image(&bytes, path, &self.decode)?;
        let turned = self.decode.apply_exif && read_header(&bytes, path, &self.decode)?.orientation != 1;
        self.turned.fetch_add(usize::from(turned), Ordering::Relaxed);
        let target = SampleTarget {
            image_id: index as i64 + 1,
            file_name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            original_size: [image.height() as usize, image.width() as usize],
            ..Default::default()
        };
        Ok(Sample { image, target, ..Sample::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_and_what_is_passed_over_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a");
        for sub in ["sub", "__MACOSX", "sub/deep"] {
            std::fs::create_dir_all(folder.join(sub)).unwrap();
        }
        for name in
            ["b.JPG", "a.png", "c.tiff", "notes.txt", "a.mp4", "._a.png", "sub/d.jfif", "sub/deep/e.jpg", "__MACOSX/a.png"]
        {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let named = dir.path().join("x=1.dat");
        std::fs::write(&named, "").unwrap();
        let flat = FoundImages::find(&[folder.clone(), named.clone()], false).unwrap();
        let top = ["a.png", "b.JPG", "c.tiff"].map(|n| folder.join(n));
        assert_eq!(flat.paths, [&top[..], &[named]].concat());
        assert_eq!((flat.hidden, flat.others, flat.folders), (2, 1, 1));
        assert_eq!(
            flat.passed_over().unwrap(),
            "passed over: 2 hidden, 1 that is no image, 1 video (name it to predict on it), 1 subfolder"
        );
        let all = FoundImages::find(std::slice::from_ref(&folder), true).unwrap();
        assert_eq!(all.paths.len(), 5);
        assert!(all.paths.contains(&folder.join("sub/deep/e.jpg")));
        for path in top {
            std::fs::remove_file(path).unwrap();
        }
        let none = FoundImages::find(std::slice::from_ref(&folder), false).unwrap_err().to_string();
        assert!(none.contains("no image in this folder") && none.contains("subfolders were not searched"), "{none}");
        assert!(FoundImages::find(&[dir.path().join("none")], true).is_err());
    }
}
