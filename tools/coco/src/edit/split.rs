//! One set into two, by groups that never cross, with the classes in equal shares where that is wanted.
//!
//! Stratified is as in Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data" (2011), with groups in place of
//! examples: the rarest class that is left goes first, each of its groups to the side that still lacks most of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use rand::seq::SliceRandom;

use super::{file_name, id, text, Document, Grouping, Object};
use crate::annotations::AnnotationError;
use crate::stream::stream;

/// What keeps the draws of splits apart from others of the same seed.
const STREAM: u64 = 0x7370_6C69_7400_0001;

/// How a set is split.
#[derive(Clone, Debug)]
pub struct SplitOptions {
    /// Share of the images that go to the second part, between 0 and 1.
    pub val: f64,
    /// What belongs together.
    pub grouping: Grouping,
    /// Whether each class is to have that share of the images with it.
    pub stratify: bool,
    /// Of the draws.
    pub seed: u64,
}

/// Images that hold a class, and its objects, on each side.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ClassCounts {
    /// The class.
    pub name: String,
    /// Images with it: in train, in val.
    pub images: [usize; 2],
    /// Objects: in train, in val.
    pub objects: [usize; 2],
}

/// The two parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// To learn from.
    pub train: Document,
    /// To measure on.
    pub val: Document,
    /// Groups: in train, in val.
    pub groups: [usize; 2],
    /// Images without a group, each of which is one of its own.
    pub without_group: Vec<String>,
    /// The classes in the order of the file.
    pub classes: Vec<ClassCounts>,
}

/// Images that stay together.
#[derive(Default)]
struct Group {
    images: Vec<usize>,
    /// Images by class: positions in the list of categories.
    classes: BTreeMap<usize, usize>,
}

/// Splits a set.
///
/// # Errors
/// A set of one group.
pub fn split(document: &Document, options: &SplitOptions) -> Result<Split, AnnotationError> {
    let (mut groups, without_group) = groups(document, &options.grouping);
    if groups.len() < 2 {
        let reason = format!("all {} images are one group, which no split may part; group them otherwise", document.images.len());
        return Err(AnnotationError::Format { path: document.path.clone(), format: "a set to split", reason });
    }
    groups.shuffle(&mut stream([options.seed, 0, 0, STREAM]));
    let mut to_val = if options.stratify { stratified(&groups, options.val) } else { by_number(&groups, options.val) };
    both_sides(&groups, &mut to_val);
    let in_val: HashSet<i64> = groups
        .iter()
        .zip(&to_val)
        .filter(|(_, val)| **val)
        .flat_map(|(group, _)| group.images.iter().map(|&i| id(&document.images[i], "id")))
        .collect();
    let val_groups = to_val.iter().filter(|val| **val).count();
    let part = |val: bool| Document {
        images: document.images.iter().filter(|image| in_val.contains(&id(image, "id")) == val).cloned().collect(),
        annotations: document.annotations.iter().filter(|a| in_val.contains(&id(a, "image_id")) == val).cloned().collect(),
        ..Document { images: vec![], annotations: vec![], ..document.clone() }
    };
    let (train, val) = (part(false), part(true));
    let classes = counts(&train, &val);
    Ok(Split { train, val, groups: [groups.len() - val_groups, val_groups], without_group, classes })
}

/// The groups in the order of their names, and the images that have none.
fn groups(document: &Document, grouping: &Grouping) -> (Vec<Group>, Vec<String>) {
    let class: HashMap<i64, usize> = document.categories.iter().enumerate().map(|(i, c)| (id(c, "id"), i)).collect();
    let mut held: HashMap<i64, HashSet<usize>> = HashMap::new();
    for annotation in &document.annotations {
        if let Some(&class) = class.get(&id(annotation, "category_id")) {
            held.entry(id(annotation, "image_id")).or_default().insert(class);
        }
    }
    let mut groups: BTreeMap<(bool, String), Group> = BTreeMap::new();
    let mut without = Vec::new();
    for (index, image) in document.images.iter().enumerate() {
        let key = match grouping.key(image) {
            Some(key) => (true, key),
            None => {
                without.push(file_name(image));
                (false, file_name(image))
            }
        };
        let group = groups.entry(key).or_default();
        group.images.push(index);
        for class in held.get(&id(image, "id")).into_iter().flatten() {
            *group.classes.entry(*class).or_default() += 1;
        }
    }
    (groups.into_values().collect(), without)
}

/// Groups in a drawn order, each taken where that brings the number of images nearer to the share.
fn by_number(groups: &[Group], share: f64) -> Vec<bool> {
    let all: usize = groups.iter().map(|g| g.images.len()).sum();
    let wanted = share * all as f64;
    let mut have = 0;
    let nearer = |have: usize, more: usize| ((have + more) as f64 - wanted).abs() < (have as f64 - wanted).abs();
    groups
        .iter()
        .map(|group| {
            let take = nearer(have, group.images.len());
            have += if take { group.images.len() } else { 0 };
            take
        })
        .collect()
}

fn stratified(groups: &[Group], share: f64) -> Vec<bool> {
    let shares = [1.0 - share, share];
    let total = |count: &dyn Fn(&Group) -> usize| groups.iter().map(count).sum::<usize>() as f64;
    let classes: HashSet<usize> = groups.iter().flat_map(|g| g.classes.keys().copied()).collect();
    // Images that each side still lacks, of each class and in all.
    let mut lacks: HashMap<usize, [f64; 2]> = classes
        .into_iter()
        .map(|class| (class, shares.map(|s| s * total(&|g| g.classes.get(&class).copied().unwrap_or(0)))))
        .collect();
    let mut lacks_images = shares.map(|s| s * total(&|g| g.images.len()));
    let mut side: Vec<Option<bool>> = vec![None; groups.len()];
    while let Some(rarest) = rarest_left(groups, &side) {
        let mut open: Vec<usize> =
            (0..groups.len()).filter(|&g| side[g].is_none() && groups[g].classes.contains_key(&rarest)).collect();
        // Large ones first, while there is room; equal ones stay in the drawn order.
        open.sort_by_key(|&g| std::cmp::Reverse(groups[g].classes[&rarest]));
        for g in open {
            let [train, val] = lacks.get(&rarest).copied().unwrap_or_default();
            let to_val = if train == val { lacks_images[1] > lacks_images[0] } else { val > train };
            side[g] = Some(to_val);
            for (class, count) in &groups[g].classes {
                if let Some(lack) = lacks.get_mut(class) {
                    lack[usize::from(to_val)] -= *count as f64;
                }
            }
            lacks_images[usize::from(to_val)] -= groups[g].images.len() as f64;
        }
    }
    // Groups without an object fill up.
    for g in 0..groups.len() {
        if side[g].is_none() {
            let to_val = lacks_images[1] > lacks_images[0];
            side[g] = Some(to_val);
            lacks_images[usize::from(to_val)] -= groups[g].images.len() as f64;
        }
    }
    side.into_iter().map(|side| side.unwrap_or(false)).collect()
}

/// The class with the fewest images among the groups that have no side yet.
fn rarest_left(groups: &[Group], side: &[Option<bool>]) -> Option<usize> {
    let mut left: BTreeMap<usize, usize> = BTreeMap::new();
    for (group, _) in groups.iter().zip(side).filter(|(_, side)| side.is_none()) {
        for (class, count) in &group.classes {
            *left.entry(*class).or_default() += count;
        }
    }
    left.into_iter().min_by_key(|&(class, count)| (count, class)).map(|(class, _)| class)
}

/// Neither side is empty: the smallest group of the other one moves.
fn both_sides(groups: &[Group], to_val: &mut [bool]) {
    for side in [true, false] {
        if to_val.iter().all(|val| *val != side) {
            let smallest = (0..groups.len()).min_by_key(|&g| groups[g].images.len());
            if let Some(g) = smallest {
                to_val[g] = side;
            }
        }
    }
}

fn counts(train: &Document, val: &Document) -> Vec<ClassCounts> {
    let of = |document: &Document, class: i64| {
        let objects: Vec<&Object> = document.annotations.iter().filter(|a| id(a, "category_id") == class).collect();
        let images: HashSet<i64> = objects.iter().map(|a| id(a, "image_id")).collect();
        (images.len(), objects.len())
    };
    let count = |category: &Object| {
        let class = id(category, "id");
        let ((train_images, train_objects), (val_images, val_objects)) = (of(train, class), of(val, class));
        let name = text(category, "name").to_string();
        ClassCounts { name, images: [train_images, val_images], objects: [train_objects, val_objects] }
    };
    train.categories.iter().map(count).collect()
}
