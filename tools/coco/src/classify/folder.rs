//! `root/CLASS/*.jpg`: the layout of ImageNet and of most classification sets.

use std::fs;
use std::path::{Path, PathBuf};

use crate::decode::{read_image, DecodeConfig};
use crate::error::DataError;
use crate::sample::Sample;
use crate::source::Source;
use crate::types::SampleTarget;

/// Extensions of files that are taken as images.
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "bmp", "webp", "gif", "tif", "tiff"];

/// A folder a class. A sample's only label is its class; it has no boxes.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    classes: Vec<String>,
    files: Vec<(PathBuf, i64)>,
    decode: DecodeConfig,
}

impl ImageFolder {
    /// Lists a folder. Classes are its subfolders in alphabetical order, or the given ones in theirs (a validation set must be
    /// numbered as its training set). Image names are only listed here; files are read when they are asked for.
    ///
    /// # Errors
    /// Folders that cannot be read, subfolders beyond the given classes, no image at all.
    pub fn open(root: &Path, classes: Option<&[String]>, decode: DecodeConfig) -> Result<Self, DataError> {
        let mut found: Vec<String> = Vec::new();
        for entry in entries(root)?.into_iter().filter(|path| path.is_dir()) {
            found.extend(entry.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
        let classes = match classes {
            None => found,
            Some(given) => {
                if let Some(unknown) = found.iter().find(|name| !given.contains(name)) {
                    let reason = format!("has the subfolder {unknown:?}, which is none of the {} classes", given.len());
                    return Err(DataError::Folder { path: root.into(), reason });
                }
                given.to_vec()
            }
        };
        let mut files = Vec::new();
        for (label, class) in (0..).zip(&classes) {
            let folder = root.join(class);
            if folder.is_dir() {
                files.extend(entries(&folder)?.into_iter().filter(|path| is_image(path)).map(|path| (path, label)));
            }
        }
        if files.is_empty() {
            let reason = "holds no images; expected one subfolder a class with image files in it".into();
            return Err(DataError::Folder { path: root.into(), reason });
        }
        Ok(Self { classes, files, decode })
    }

    /// Names of the classes in the order of their labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }
}

impl Source for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    /// Crops are squares whatever the image's shape.
    fn aspect(&self, _index: usize) -> f64 {
        1.0
    }

    fn load(&self, index: usize) -> Result<Sample, DataError> {
        let (path, label) = self.files.get(index).ok_or(DataError::NoSuchSample { index, len: self.len() })?;
        let image = read_image(path, &self.decode)?;
        let target = SampleTarget {
            image_id: index as i64,
            file_name: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            original_size: [image.height() as usize, image.width() as usize],
            labels: vec![*label],
            ..SampleTarget::default()
        };
        Ok(Sample { image, target, ..Sample::default() })
    }
}

/// The sorted paths in a folder; hidden ones are left out.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: folder.into(), source };
    let listed = fs::read_dir(folder).map_err(failed)?;
    let paths = listed.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    let hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let mut paths: Vec<PathBuf> = paths.into_iter().filter(|path| !hidden(path)).collect();
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}
