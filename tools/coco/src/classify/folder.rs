//! `root/CLASS/*.jpg`: the layout of ImageNet and of most classification sets.

use std::fs;
use std::path::{Path, PathBuf};

use crate::annotations::classes::listed;
use crate::decode::{is_hidden, is_image, read_image, DecodeConfig};
use crate::error::DataError;
use crate::sample::Sample;
use crate::shards;
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

/// A folder per class, or shards ([`crate::shards`]) with a class per image. A sample's only label is its class; it has no boxes.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    classes: Vec<String>,
    files: Vec<(PathBuf, i64)>,
    shards: Vec<usize>,
    decode: DecodeConfig,
}

impl ImageFolder {
    /// Lists a folder. Image names are only listed here; files are read when they are asked for.
    ///
    /// # Errors
    /// Folders that cannot be read, subfolders that do not fit the given classes, no image at all.
    pub fn open(root: &Path, classes: Classes, decode: DecodeConfig) -> Result<Self, DataError> {
        let mut found: Vec<String> = Vec::new();
        let set = shards::of_root(root)?;
        let stored = set.as_ref().map(|set| shards::class_files(root, set)).transpose()?;
        if let Some(stored) = &stored {
            found.extend(stored.iter().map(|(_, class)| class.clone()));
            found.sort_by_key(|name| (name.parse::<usize>().ok(), name.clone()));
            found.dedup();
        } else {
            for entry in entries(root)?.into_iter().filter(|path| path.is_dir()) {
                found.extend(entry.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
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
        let label = |class: &String| classes.iter().position(|c| c == class).map(|label| label as i64);
        files.extend(stored.iter().flatten().filter_map(|(path, class)| Some((path.clone(), label(class)?))));
        for (label, class) in (0..).zip(&classes).filter(|_| stored.is_none()) {
            let folder = root.join(class);
            if folder.is_dir() {
                files.extend(entries(&folder)?.into_iter().filter(|path| is_image(path)).map(|path| (path, label)));
            }
        }
        if files.is_empty() {
            return refuse("holds no images; expected one subfolder a class with image files in it".into());
        }
        let shards = match set {
            None => vec![],
            Some(set) => {
                let shard = |(path, _): &(PathBuf, i64)| set.shard_of(path);
                files.iter().map(shard).collect()
            }
        };
        Ok(Self { classes, files, shards, decode })
    }

    /// Number of images of each class, in the order of their labels.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for (_, label) in &self.files {
            counts[*label as usize] += 1;
        }
        counts
    }

    /// Paths of the images with their labels.
    pub fn files(&self) -> impl Iterator<Item = (&Path, usize)> {
        self.files.iter().map(|(path, label)| (path.as_path(), *label as usize))
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

    fn shards(&self) -> Vec<usize> {
        self.shards.clone()
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
