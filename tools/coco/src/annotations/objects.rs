//! The objects of all images: in this process's memory, or in a file that the processes of one machine share.
//!
//! The outlines of a large set take gigabytes. Of eight processes that train together one parses the annotation file and writes an index; all
//! read the objects of an image from it when they need them. The system keeps the file's pages in memory once.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::classes::ClassList;
use super::dataset::{Dataset, LoadReport};
use super::record::{Annotation, ImageRecord};

/// The objects of each image.
#[derive(Clone, Debug)]
pub(super) enum Objects {
    /// In memory.
    Own(Vec<Vec<Annotation>>),
    /// In an index.
    Shared(Shared),
}

/// Objects in an index.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    file: Arc<File>,
    /// First byte and length of each image's objects.
    places: Vec<(u64, usize)>,
    /// All of them, once someone has asked for a reference.
    own: OnceLock<Vec<Vec<Annotation>>>,
}

impl Default for Objects {
    fn default() -> Self {
        Self::Own(vec![])
    }
}

impl Objects {
    /// All objects of an image. Of an index, all of it is read into memory the first time.
    pub fn of(&self, index: usize) -> &[Annotation] {
        let all = match self {
            Self::Own(all) => all,
            Self::Shared(shared) => shared.own.get_or_init(|| (0..shared.places.len()).map(|i| shared.read(i)).collect()),
        };
        all.get(index).map_or(&[], Vec::as_slice)
    }

    /// The objects of an image, each borrowed, or read for the caller alone.
    pub fn each(&self, index: usize) -> Box<dyn Iterator<Item = Cow<'_, Annotation>> + '_> {
        match self {
            Self::Own(_) => Box::new(self.of(index).iter().map(Cow::Borrowed)),
            Self::Shared(shared) => Box::new(shared.read(index).into_iter().map(Cow::Owned)),
        }
    }

    /// Keeps the images whose flag is set.
    pub fn keep(&mut self, flags: &[bool]) {
        match self {
            Self::Own(all) => keep(all, flags),
            Self::Shared(shared) => {
                keep(&mut shared.places, flags);
                shared.own = OnceLock::new();
            }
        }
    }
}

/// Keeps what has its flag set.
pub(super) fn keep<T>(list: &mut Vec<T>, flags: &[bool]) {
    let mut flag = flags.iter();
    list.retain(|_| flag.next().copied().unwrap_or(false));
}

impl Shared {
    /// # Panics
    /// Where the disk fails: the file was written and opened by this program, and has no name any more.
    fn read(&self, index: usize) -> Vec<Annotation> {
        let Some(&(at, length)) = self.places.get(index) else { return vec![] };
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at).expect("the index of annotations can be read");
        serde_json::from_slice(&bytes).expect("the index of annotations is whole")
    }
}

/// What stands at the end of an index.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    token: u64,
    path: Cow<'a, Path>,
    images: Cow<'a, [ImageRecord]>,
    classes: Cow<'a, ClassList>,
    category_ids: Cow<'a, HashSet<i64>>,
    places: Vec<(u64, usize)>,
}

/// Where an index is, for other processes of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPlace {
    /// The file.
    pub path: PathBuf,
    /// What stands in it, so that another machine's file of the same name is not taken for it.
    pub token: u64,
}

/// An index in the folder for temporary files, which is removed when this is dropped; sets that were opened from it stay.
#[derive(Debug)]
pub struct Index {
    file: NamedTempFile,
    token: u64,
}

impl Index {
    /// Writes the index of a set.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(dataset: &Dataset) -> io::Result<Self> {
        let file = tempfile::Builder::new().prefix("repghost-det-annotations-").tempfile()?;
        let token = rand::random();
        let mut out = BufWriter::new(file.as_file());
        let (mut at, mut places) = (0, Vec::with_capacity(dataset.len()));
        for index in 0..dataset.len() {
            let bytes = serde_json::to_vec(dataset.annotations(index))?;
            out.write_all(&bytes)?;
            places.push((at, bytes.len()));
            at += bytes.len() as u64;
        }
        let head = Head {
            token,
            path: Cow::Borrowed(&dataset.path),
            images: Cow::Borrowed(&dataset.images),
            classes: Cow::Borrowed(&dataset.classes),
            category_ids: Cow::Borrowed(&dataset.category_ids),
            places,
        };
        serde_json::to_writer(&mut out, &head)?;
        out.write_all(&at.to_le_bytes())?;
        out.flush()?;
        drop(out);
        Ok(Self { file, token })
    }

    /// Where it is.
    pub fn place(&self) -> IndexPlace {
        IndexPlace { path: self.file.path().to_path_buf(), token: self.token }
    }
}

impl Dataset {
    /// Opens an index. Its [`Dataset::report`] is empty: that is for the process that parsed the annotation file.
    ///
    /// # Errors
    /// The disk's; a file that is not the index.
    pub fn from_index(place: &IndexPlace) -> io::Result<Self> {
        let file = File::open(&place.path)?;
        let end = file.metadata()?.len().saturating_sub(8);
        let mut number = [0; 8];
        file.read_exact_at(&mut number, end)?;
        let at = u64::from_le_bytes(number);
        let other = || io::Error::other("another file has the index's name");
        let length = usize::try_from(end.checked_sub(at).ok_or_else(other)?).map_err(|_| other())?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at)?;
        let head: Head = serde_json::from_slice(&bytes)?;
        if head.token != place.token {
            return Err(other());
        }
        let shared = Shared { file: Arc::new(file), places: head.places, own: OnceLock::new() };
        Ok(Self {
            path: head.path.into_owned(),
            images: head.images.into_owned(),
            classes: head.classes.into_owned(),
            report: LoadReport::default(),
            category_ids: head.category_ids.into_owned(),
            objects: Objects::Shared(shared),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations::{LabelMode, Rle, SampleAnnotations, Segmentation};

    fn set() -> Dataset {
        let object =
            |id: i64, segmentation| Annotation { id, bbox: [0.1 + id as f64, 1.0, 3.7, 4.0], segmentation, ..Default::default() };
        let sample = |id: i64, annotations| SampleAnnotations {
            image: ImageRecord { id, file_name: format!("{id}.jpg"), height: 40, width: 30 },
            annotations,
        };
        let outline = Segmentation::Polygons(vec![vec![0.1, 0.2, 3.3, 0.7, 1e-7, 9.99]]);
        let mask = Segmentation::Rle(Rle { size: [40, 30], counts: vec![3, 1000, 197] });
        let crowd = Annotation { iscrowd: true, ..object(4, Segmentation::None) };
        let samples = vec![
            sample(9, vec![object(1, outline), object(2, mask)]),
            sample(3, vec![]),
            sample(4, vec![object(3, Segmentation::None), crowd]),
        ];
        let classes = ClassList::new([(7, "cat \"a\"".to_owned())], LabelMode::Contiguous).unwrap();
        Dataset::from_samples(samples, classes)
    }

    #[test]
    fn an_index_has_what_the_set_has() {
        let set = set();
        let index = Index::write(&set).unwrap();
        let place = index.place();
        let opened = Dataset::from_index(&place).unwrap();
        let wrong = IndexPlace { token: place.token ^ 1, ..place.clone() };
        assert!(Dataset::from_index(&wrong).is_err());
        drop(index);
        assert!(!place.path.exists(), "nothing is left");
        assert_eq!((&opened.images, &opened.classes, &opened.category_ids), (&set.images, &set.classes, &set.category_ids));
        for set in [&opened, &opened.clone()] {
            let objects = |i| set.training_objects(i).map(|(object, bbox)| (object.into_owned(), bbox)).collect::<Vec<_>>();
            let own = self::set();
            for i in 0..=3 {
                assert_eq!(objects(i), own.training_objects(i).map(|(o, b)| (o.into_owned(), b)).collect::<Vec<_>>());
                assert_eq!(set.annotations(i), own.annotations(i));
            }
        }
        // After `annotations` has read all, some images are left out.
        let less = opened.without(&HashSet::from([0])).unwrap();
        assert_eq!((less.len(), less.annotations(1).len(), less.training_objects(1).count()), (2, 2, 1));
    }

    #[test]
    fn what_is_no_index_is_refused() {
        let mut file = NamedTempFile::new().unwrap();
        let place = |file: &NamedTempFile| IndexPlace { path: file.path().to_path_buf(), token: 0 };
        assert!(Dataset::from_index(&place(&file)).is_err());
        file.write_all(&[255; 20]).unwrap();
        assert!(Dataset::from_index(&place(&file)).is_err());
    }
}
