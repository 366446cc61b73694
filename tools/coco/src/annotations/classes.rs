//! Category ids of the file, names, and the labels that heads learn.
//!
//! COCO's 80 categories have ids from 1 to 90 with gaps. A head wants numbers without gaps ([`LabelMode::Contiguous`]), except
//! for torchvision's published ones, whose 91 outputs are the category ids themselves ([`LabelMode::CategoryIds`]).

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::AnnotationError;
use super::problem::Problem;
use super::raw::{RawAnnotation, RawCategory};
use super::record::read_id;

/// The largest category id that may serve as a label: a head has that many outputs.
const MAX_LABEL: i64 = 9_999;
/// Names shown in a message at most.
const NAMES_SHOWN: usize = 100;

/// What a label is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabelMode {
    /// 0, 1, 2, … in the order of the wanted names, or of the category ids where no names are wanted.
    #[default]
    Contiguous,
    /// The category ids, as in torchvision's 91-class heads.
    CategoryIds,
}

/// A wanted category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// The index that heads learn and predict.
    pub label: i64,
    /// The id in the annotation file.
    pub category_id: i64,
    /// The name in the annotation file.
    pub name: String,
}

/// The wanted categories, by label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassList {
    classes: Vec<Class>,
    by_label: HashMap<i64, usize>,
    by_category: HashMap<i64, usize>,
    num_labels: usize,
}

impl ClassList {
    /// Numbers `(category id, name)` pairs; their order is the order of contiguous labels.
    ///
    /// # Errors
    /// Where a category id cannot be a label ([`LabelMode::CategoryIds`] with negative ids or ids above 9999).
    pub fn new(categories: impl IntoIterator<Item = (i64, String)>, mode: LabelMode) -> Result<Self, String> {
        let mut list = ClassList::default();
        for (index, (category_id, name)) in categories.into_iter().enumerate() {
            let label = match mode {
                LabelMode::Contiguous => index as i64,
                LabelMode::CategoryIds if (0..=MAX_LABEL).contains(&category_id) => category_id,
                LabelMode::CategoryIds => {
                    return Err(format!(
                        "category id {category_id} ({name:?}) cannot serve as a label (0 to {MAX_LABEL}); use contiguous labels"
                    ))
                }
            };
            list.by_label.insert(label, index);
            list.by_category.insert(category_id, index);
            list.num_labels = list.num_labels.max(label as usize + 1);
            list.classes.push(Class { label, category_id, name });
        }
        Ok(list)
    }

    /// Number of wanted classes.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there is no class.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Outputs that a head needs: one more than the largest label.
    pub fn num_labels(&self) -> usize {
        self.num_labels
    }

    /// The classes in order of their labels.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Class> {
        self.classes.iter()
    }

    /// The class of a label.
    pub fn by_label(&self, label: i64) -> Option<&Class> {
        self.by_label.get(&label).and_then(|&index| self.classes.get(index))
    }

    /// The class of a category id.
    pub fn by_category(&self, category_id: i64) -> Option<&Class> {
        self.by_category.get(&category_id).and_then(|&index| self.classes.get(index))
    }

    /// The class of a name.
    pub fn by_name(&self, name: &str) -> Option<&Class> {
        self.classes.iter().find(|class| class.name == name)
    }

    /// The name of a label; its number where the list has none.
    pub fn name(&self, label: i64) -> String {
        self.by_label(label).map_or_else(|| label.to_string(), |class| class.name.clone())
    }

    /// The names in order of the labels.
    pub fn names(&self) -> Vec<&str> {
        self.classes.iter().map(|class| class.name.as_str()).collect()
    }
}

/// Which categories are no classes: those without an object that are another's `supercategory`, or whose name a category with objects has.
/// Roboflow's exports have one, named like the project, as category 0. A name that is `wanted` and that one category has is kept.
pub(crate) fn placeholders(raw: &[RawCategory], annotations: &[RawAnnotation], wanted: Option<&[String]>) -> Vec<bool> {
    let used: HashSet<i64> = annotations.iter().filter_map(|a| a.category_id.number()).map(|id| id as i64).collect();
    let id = |category: &RawCategory| category.id.number().map(|id| id as i64);
    let has_objects = |category: &RawCategory| id(category).is_none_or(|id| used.contains(&id));
    let is_placeholder = |category: &RawCategory| {
        let Some(name) = category.name.text().filter(|_| !has_objects(category)) else { return false };
        let namesakes = raw.iter().filter(|other| other.name.text() == Some(name)).count();
        if namesakes == 1 && wanted.is_some_and(|wanted| wanted.iter().any(|w| w == name)) {
            return false;
        }
        raw.iter()
            .filter(|other| id(other) != id(category))
            .any(|other| other.supercategory.text() == Some(name) || other.name.text() == Some(name) && has_objects(other))
    };
    raw.iter().map(is_placeholder).collect()
}

/// Categories of a file as `(id, name)`, in its order, with what is wrong with them. Those that are no classes (`left_out`) are a note each.
pub(crate) fn read_categories(raw: &[RawCategory], left_out: &[bool], problems: &mut Vec<Problem>) -> Vec<(i64, String)> {
    let (mut by_id, mut by_name) = (HashMap::new(), HashMap::new());
    let mut categories = Vec::with_capacity(raw.len());
    for (category, left_out) in raw.iter().zip(left_out) {
        if *left_out {
            let (id, name) = (category.id.to_string(), category.name.text().unwrap_or_default().to_owned());
            problems.push(Problem::CategoryLeftOut { id, name });
            continue;
        }
        let Some(id) = read_id(&category.id, "category id", problems) else { continue };
        let name = category.name.text().map(str::to_owned).unwrap_or_else(|| {
            problems.push(Problem::NoCategoryName(id));
            format!("category {id}")
        });
        if id == 0 {
            problems.push(Problem::CategoryZero(name.clone()));
        }
        if let Some(first) = by_name.insert(name.clone(), id).filter(|&first| first != id) {
            problems.push(Problem::DuplicateCategoryName { name: name.clone(), first, second: id });
        }
        match by_id.insert(id, name.clone()) {
            Some(first) => problems.push(Problem::DuplicateCategoryId { id, first, second: name }),
            None => categories.push((id, name)),
        }
    }
    categories
}

/// What to choose among a file's categories.
pub(crate) struct Wanted<'a> {
    /// Names in the order of their labels; all categories by id where `None`.
    pub names: Option<&'a [String]>,
    /// What a label is.
    pub labels: LabelMode,
    /// Whether names may be missing, as long as one is there.
    pub may_be_absent: bool,
}

/// The wanted ones among a file's categories, and the names that it lacks. Those get ids that the file doesn't use.
pub(crate) fn select(
    path: &Path,
    categories: Vec<(i64, String)>,
    wanted: &Wanted,
) -> Result<(ClassList, Vec<String>), AnnotationError> {
    let mut absent = Vec::new();
    let mut free = categories.iter().map(|(id, _)| *id).max().unwrap_or(0).max(0);
    // A name that differs in its case or blanks only was meant to be there.
    let plain = |name: &str| name.trim().to_lowercase();
    let lacks = |name: &str| wanted.may_be_absent && !categories.iter().any(|(_, have)| plain(have) == plain(name));
    let chosen = match wanted.names {
        None => {
            let mut all = categories.clone();
            all.sort_by_key(|&(id, _)| id);
            all
        }
        Some(names) => {
            let mut chosen: Vec<(i64, String)> = Vec::with_capacity(names.len());
            let none_is_there = names.iter().all(|name| lacks(name));
            for name in names {
                if !none_is_there && lacks(name) {
                    free += 1;
                    absent.push(name.clone());
                    chosen.push((free, name.clone()));
                    continue;
                }
                let mut matches = categories.iter().filter(|(_, have)| have == name);
                let found = matches.next().ok_or_else(|| unknown_class(path, name, &categories))?;
                if let Some((second, _)) = matches.next() {
                    let reason = format!("class {name:?} has two category ids, {} and {second}; rename one of them", found.0);
                    return Err(AnnotationError::Classes { path: path.to_owned(), reason });
                }
                if chosen.iter().any(|(id, _)| *id == found.0) {
                    let reason = format!("class {name:?} is wanted twice; name it once in `classes`");
                    return Err(AnnotationError::Classes { path: path.to_owned(), reason });
                }
                chosen.push(found.clone());
            }
            chosen
        }
    };
    let list = ClassList::new(chosen, wanted.labels);
    list.map(|list| (list, absent)).map_err(|reason| AnnotationError::Classes { path: path.to_owned(), reason })
}

fn unknown_class(path: &Path, wanted: &str, categories: &[(i64, String)]) -> AnnotationError {
    let nearest = categories
        .iter()
        .map(|(_, name)| (strsim::damerau_levenshtein(&name.to_lowercase(), &wanted.to_lowercase()), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 2);
    AnnotationError::UnknownClass {
        path: path.to_owned(),
        wanted: wanted.to_owned(),
        have: listed(categories.iter().map(|(_, name)| name.as_str())),
        hint: nearest.map_or_else(String::new, |(_, name)| format!("; did you mean {name:?}?")),
    }
}

/// Names with commas, cut where there are very many.
pub(crate) fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let total = names.len();
    let mut text = names.take(NAMES_SHOWN).collect::<Vec<_>>().join(", ");
    if total > NAMES_SHOWN {
        text.push_str(&format!(", … {} more", total - NAMES_SHOWN));
    }
    text
}
