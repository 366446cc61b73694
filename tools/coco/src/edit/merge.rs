//! Several sets into one: classes by name, new ids where they are taken, file names below one folder.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::{file_name, id, text, Document, Object};
use crate::annotations::AnnotationError;

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The set. Its `root` is the folder that all file names are below.
    pub document: Document,
    /// Images that several sets have: their objects were put together.
    pub shared_images: usize,
    /// Names of classes that the first set lacks.
    pub added_classes: Vec<String>,
    /// Images and annotations with new ids.
    pub renumbered: [usize; 2],
}

/// Puts sets together. Ids of the first set stay; those of the others stay where they are free. An image of the same file in two sets is
/// one image with the objects of both.
///
/// # Errors
/// No set; sets with and without a folder of images; one file with two sizes.
pub fn merge(sets: Vec<Document>) -> Result<Merged, AnnotationError> {
    let (root, prefixes) = roots(&sets)?;
    let mut sets = sets.into_iter().zip(prefixes);
    let Some((first, prefix)) = sets.next() else {
        return Err(refused(Path::new("merge"), "no set is named".into()));
    };
    let mut merged = Merger::start(Document { root, ..first }, &prefix);
    for (set, prefix) in sets {
        merged.add(set, &prefix)?;
    }
    Ok(merged.out)
}

fn refused(path: &Path, reason: String) -> AnnotationError {
    AnnotationError::Format { path: path.to_owned(), format: "a set to merge", reason }
}

/// The folder above all image folders, and what comes before each set's file names.
fn roots(sets: &[Document]) -> Result<(Option<PathBuf>, Vec<String>), AnnotationError> {
    if let (Some(with), Some(without)) = (sets.iter().find(|s| s.root.is_some()), sets.iter().find(|s| s.root.is_none())) {
        let reason = format!("no folder of images is named for it, but one is for {}; name all or none", with.path.display());
        return Err(refused(&without.path, reason));
    }
    let folders: Vec<PathBuf> =
        sets.iter().filter_map(|s| s.root.as_ref()).map(|r| r.canonicalize().unwrap_or(r.clone())).collect();
    let Some(first) = folders.first() else { return Ok((None, vec![String::new(); sets.len()])) };
    let mut common: Vec<Component> = first.components().collect();
    for folder in &folders {
        let same = common.iter().zip(folder.components()).take_while(|(a, b)| *a == b).count();
        common.truncate(same);
    }
    let common: PathBuf = common.iter().collect();
    let prefix = |folder: &PathBuf| {
        let below = folder.strip_prefix(&common).unwrap_or(folder).to_string_lossy().replace('\\', "/");
        if below.is_empty() {
            below
        } else {
            below + "/"
        }
    };
    let prefixes = folders.iter().map(prefix).collect();
    Ok((Some(common), prefixes))
}

/// What grows.
struct Merger {
    out: Merged,
    /// Images by file name: their place in the list.
    images: HashMap<String, usize>,
    image_ids: Ids,
    annotation_ids: Ids,
}

/// Ids that are taken.
struct Ids {
    taken: HashSet<i64>,
    next: i64,
}

impl Ids {
    fn of(objects: &[Object]) -> Self {
        let taken: HashSet<i64> = objects.iter().map(|o| id(o, "id")).collect();
        Self { next: taken.iter().max().map_or(1, |max| max.saturating_add(1)), taken }
    }

    /// The id itself where it is free, else the next one; and whether it is new.
    fn take(&mut self, wanted: i64) -> (i64, bool) {
        if self.taken.insert(wanted) {
            self.next = self.next.max(wanted.saturating_add(1));
            return (wanted, false);
        }
        let new = self.next;
        self.taken.insert(new);
        self.next = new.saturating_add(1);
        (new, true)
    }
}

impl Merger {
    fn start(mut first: Document, prefix: &str) -> Self {
        for image in &mut first.images {
            rename(image, prefix);
        }
        let images = first.images.iter().enumerate().map(|(i, image)| (file_name(image), i)).collect();
        let (image_ids, annotation_ids) = (Ids::of(&first.images), Ids::of(&first.annotations));
        let out = Merged { document: first, shared_images: 0, added_classes: vec![], renumbered: [0, 0] };
        Self { out, images, image_ids, annotation_ids }
    }

    fn add(&mut self, set: Document, prefix: &str) -> Result<(), AnnotationError> {
        let categories = self.add_categories(&set.categories);
        let licenses = self.add_licenses(&set.rest);
        let mut image_ids = HashMap::new();
        for mut image in set.images {
            rename(&mut image, prefix);
            let (name, old) = (file_name(&image), id(&image, "id"));
            if let Some(&at) = self.images.get(&name) {
                let known = &self.out.document.images[at];
                let size = |image: &Object| [id(image, "width"), id(image, "height")];
                if size(known) != size(&image) {
                    let ([a, b], [c, d]) = (size(&image), size(known));
                    return Err(refused(&set.path, format!("{name} is {a}x{b} pixels here and {c}x{d} in a set before it")));
                }
                image_ids.insert(old, id(known, "id"));
                self.out.shared_images += 1;
                continue;
            }
            let (new, renumbered) = self.image_ids.take(old);
            self.out.renumbered[0] += usize::from(renumbered);
            image.insert("id".into(), new.into());
            if let Some(license) = image.get("license").and_then(Value::as_i64).and_then(|l| licenses.get(&l)) {
                image.insert("license".into(), (*license).into());
            }
            image_ids.insert(old, new);
            self.images.insert(name, self.out.document.images.len());
            self.out.document.images.push(image);
        }
        for mut annotation in set.annotations {
            let (new, renumbered) = self.annotation_ids.take(id(&annotation, "id"));
            self.out.renumbered[1] += usize::from(renumbered);
            annotation.insert("id".into(), new.into());
            for (key, ids) in [("image_id", &image_ids), ("category_id", &categories)] {
                if let Some(new) = ids.get(&id(&annotation, key)) {
                    annotation.insert(key.into(), (*new).into());
                }
            }
            self.out.document.annotations.push(annotation);
        }
        Ok(())
    }

    /// New ids of a set's categories, by their old ones.
    fn add_categories(&mut self, categories: &[Object]) -> HashMap<i64, i64> {
        let list = &mut self.out.document.categories;
        let mut ids = Ids::of(list);
        let mut new_ids = HashMap::new();
        for category in categories {
            let name = text(category, "name").to_string();
            let new = match list.iter().find(|known| text(known, "name") == name) {
                Some(known) => id(known, "id"),
                None => {
                    let (new, _) = ids.take(id(category, "id"));
                    let mut category = category.clone();
                    category.insert("id".into(), new.into());
                    list.push(category);
                    self.out.added_classes.push(name);
                    new
                }
            };
            new_ids.insert(id(category, "id"), new);
        }
        new_ids
    }

    /// New ids of a set's licences, by their old ones.
    fn add_licenses(&mut self, rest: &Object) -> HashMap<i64, i64> {
        let Some(Value::Array(theirs)) = rest.get("licenses") else { return HashMap::new() };
        let list = self.out.document.rest.entry("licenses").or_insert_with(|| Value::Array(vec![]));
        let Value::Array(ours) = list else { return HashMap::new() };
        let mut ids = Ids::of(&ours.iter().filter_map(|l| l.as_object().cloned()).collect::<Vec<_>>());
        let mut new_ids = HashMap::new();
        for license in theirs.iter().filter_map(Value::as_object) {
            let same = |known: &&Value| ["name", "url"].iter().all(|key| known.get(*key) == license.get(*key));
            let new = match ours.iter().find(same).and_then(Value::as_object) {
                Some(known) => id(known, "id"),
                None => {
                    let (new, _) = ids.take(id(license, "id"));
                    let mut license = license.clone();
                    license.insert("id".into(), new.into());
                    ours.push(Value::Object(license));
                    new
                }
            };
            new_ids.insert(id(license, "id"), new);
        }
        new_ids
    }
}

fn rename(image: &mut Object, prefix: &str) {
    if !prefix.is_empty() {
        let name = format!("{prefix}{}", file_name(image));
        image.insert("file_name".into(), name.into());
    }
}
