//! Category ids of the file, names, and the labels that heads learn.
//!
//! COCO's 80 categories have ids from 1 to 90 with gaps. A head wants numbers without gaps ([`LabelMode::Contiguous`]), except
//! for torchvision's published ones, whose 91 outputs are the category ids themselves ([`LabelMode::CategoryIds`]).

use std::collections::HashMap;
use std::path::Path;

use super::error::AnnotationError;
use super::problem::Problem;
use super::raw::RawCategory;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The index that heads learn and predict.
    pub label: i64,
    /// The id in the annotation file.
    pub category_id: i64,
    /// The name in the annotation file.
    pub name: String,
}

/// The wanted categories, by label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

    /// The name of a label; its number where the list has none.
    pub fn name(&self, label: i64) -> String {
        self.by_label(label).map_or_else(|| label.to_string(), |class| class.name.clone())
    }

    /// The names in order of the labels.
    pub fn names(&self) -> Vec<&str> {
        self.classes.iter().map(|class| class.name.as_str()).collect()
    }
}

/// Categories of a file as `(id, name)`, in its order, with what is wrong with them.
pub(crate) fn read_categories(raw: &[RawCategory], problems: &mut Vec<Problem>) -> Vec<(i64, String)> {
    let (mut by_id, mut by_name) = (HashMap::new(), HashMap::new());
    let mut categories = Vec::with_capacity(raw.len());
    for category in raw {
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

/// The wanted ones among a file's categories.
pub(crate) fn select(
    path: &Path,
    mut categories: Vec<(i64, String)>,
    wanted: Option<&[String]>,
    mode: LabelMode,
) -> Result<ClassList, AnnotationError> {
    let chosen = match wanted {
        None => {
            categories.sort_by_key(|&(id, _)| id);
            categories
        }
        Some(names) => {
            let mut chosen: Vec<(i64, String)> = Vec::with_capacity(names.len());
            for name in names {
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
    ClassList::new(chosen, mode).map_err(|reason| AnnotationError::Classes { path: path.to_owned(), reason })
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
