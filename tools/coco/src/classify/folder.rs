//! `root/CLASS/*.jpg`: the layout of ImageNet and of most classification sets.

use std::fs;
use std::path::{Path, PathBuf};

use crate::annotations::classes::listed;
use crate::decode::{is_hidden, is_image, read_image, DecodeConfig};
use crate::error::DataError;
use crate::sample::Sample;
use crate::source::Source;
use crate::types::SampleTarget;
use crate::unfinished::Unfinished;

/// Which subfolders are classes, in which order.
#[derive(Clone, Copy, Debug)]
pub enum Classes<'a> {
    /// All of them, in alphabetical order.
    All,
    /// These and no others: a validation set must be numbered as its training set. Some may have no folder.
    Exactly(&'a [String]),
    /// These; each must be there, others are passed over.
    Only(&'a [String]),
}

/// A folder a class. A sample's only label is its class; it has no boxes.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    classes: Vec<String>,
    files: Vec<(PathBuf, i64)>,
    decode: DecodeConfig,
}

impl ImageFolder {
    /// Lists a folder. Image names are only listed here; files are read when they are asked for.
    ///
    /// # Errors
    /// Folders that cannot be read, subfolders that do not fit the given classes, no image at all.
    pub fn open(root: &Path, classes: Classes, decode: DecodeConfig) -> Result<Self, DataError> {
        let mut found: Vec<String> = Vec::new();
        for entry in entries(root)?.into_iter().filter(|path| path.is_dir()) {
            found.extend(entry.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
        let refuse = |reason: String| Err(DataError::Folder { path: root.into(), reason });
        if Unfinished::is_marked(root) {
            return refuse("is not complete: what wrote it was interrupted; the same command again completes it".into());
        }
        let classes = match classes {
            Classes::All => found,
            Classes::Exactly(given) => {
                if let Some(unknown) = found.iter().find(|name| !given.contains(name)) {
                    return refuse(format!("has the subfolder {unknown:?}, which is none of the {} classes", given.len()));
                }
                given.to_vec()
            }
            Classes::Only(given) => {
                if let Some(missing) = given.iter().find(|name| !found.contains(name)) {
                    return refuse(format!(
                        "has no subfolder {missing:?}; there are {}",
                        listed(found.iter().map(String::as_str))
                    ));
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
            return refuse("holds no images; expected one subfolder a class with image files in it".into());
        }
        Ok(Self { classes, files, decode })
    }

    /// Number of images of each class, in the order of their labels.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for (_, label) in &self.files {
            counts[*label as usize] += 1;
        }
        counts
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
            file_name: within(path),
            original_size: [image.height() as usize, image.width() as usize],
            labels: vec![*label],
            ..SampleTarget::default()
        };
        Ok(Sample { image, target, ..Sample::default() })
    }
}

/// `CLASS/FILE`.
fn within(path: &Path) -> String {
    let names = path.components().rev().take(2).map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>();
    names.into_iter().rev().collect::<Vec<_>>().join("/")
}

/// The sorted paths in a folder; hidden ones are left out.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: folder.into(), source };
    let listed = fs::read_dir(folder).map_err(failed)?;
    let paths = listed.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    let mut paths: Vec<PathBuf> = paths.into_iter().filter(|path| !is_hidden(path)).collect();
    paths.sort();
    Ok(paths)
}
