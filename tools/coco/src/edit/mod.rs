//! Annotation files as a whole: read in any format, put together, split, written as COCO JSON.
//!
//! Of a COCO file everything is kept (licences, attributes, key points, whatever stands in a record); files of other formats have what their
//! reader translates. Records are judged as for training before anything is written, so that what comes out trains.

mod groups;
mod merge;
mod split;
mod write;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{json, Map, Value};

use crate::annotations::raw;
use crate::annotations::{Annotation, AnnotationError, Dataset, DatasetOptions, Finding, OnBadAnnotation, Segmentation};
use crate::formats::{self, Place};

pub use groups::Grouping;
pub use merge::{merge, Merged};
pub use split::{split, ClassCounts, Split, SplitOptions};
pub use write::{convert, Target, Written};

/// A record of a list.
pub type Object = Map<String, Value>;

/// An annotation file in memory.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Document {
    /// Where it was read.
    #[serde(skip)]
    pub path: PathBuf,
    /// The folder of its images, where it is known.
    #[serde(skip)]
    pub root: Option<PathBuf>,
    /// Bad annotations that were left out, the first of them named.
    #[serde(skip)]
    pub left_out: (usize, Vec<Finding>),
    /// Its images.
    pub images: Vec<Object>,
    /// Its objects.
    #[serde(default)]
    pub annotations: Vec<Object>,
    /// Its categories.
    pub categories: Vec<Object>,
    /// Everything else: `info`, `licenses`, ….
    #[serde(flatten)]
    pub rest: Object,
}

impl Document {
    /// Reads a set in any format. Bad annotations are an error, or are left out and counted; then of a COCO file, too, only what a reader of
    /// annotations uses is kept.
    ///
    /// # Errors
    /// As [`Dataset::open`].
    pub fn read(place: &Place, on_bad: OnBadAnnotation) -> Result<Self, AnnotationError> {
        let options = DatasetOptions { on_bad_annotation: on_bad, ..DatasetOptions::default() };
        let (dataset, root) = Dataset::open(place, &options)?;
        let path = place.annotations.to_path_buf();
        if formats::recognise(place.annotations).is_some() || dataset.report.dropped > 0 {
            return Ok(Self { root, ..Self::of(&dataset) });
        }
        let mut bytes = raw::read_bytes(&path)?;
        let mut document: Self = raw::parse(&path, &mut bytes)?;
        (document.path, document.root) = (path, root);
        Ok(document)
    }

    /// What a set in memory has.
    fn of(dataset: &Dataset) -> Self {
        let image = |i: &crate::ImageRecord| json!({"id": i.id, "file_name": i.file_name, "width": i.width, "height": i.height});
        let images = dataset.images.iter().map(image);
        let objects = dataset.images.iter().enumerate();
        let objects = objects.flat_map(|(i, image)| dataset.annotations(i).iter().map(move |a| annotation(a, image.id)));
        let categories = dataset.classes.iter().map(|class| json!({"id": class.category_id, "name": class.name}));
        let report = &dataset.report;
        Self {
            path: dataset.path.clone(),
            root: None,
            left_out: (report.dropped, report.dropped_first.clone()),
            images: images.filter_map(object).collect(),
            annotations: objects.filter_map(object).collect(),
            categories: categories.filter_map(object).collect(),
            rest: Object::new(),
        }
    }

    /// Its JSON.
    fn to_json(&self) -> Value {
        let list = |objects: &[Object]| Value::Array(objects.iter().cloned().map(Value::Object).collect());
        let mut all = self.rest.clone();
        all.insert("images".into(), list(&self.images));
        all.insert("annotations".into(), list(&self.annotations));
        all.insert("categories".into(), list(&self.categories));
        Value::Object(all)
    }

    /// Writes it as COCO JSON.
    ///
    /// # Errors
    /// A place that cannot be written to.
    pub fn write(&self, path: &Path) -> Result<(), AnnotationError> {
        let bytes = serde_json::to_vec(&self.to_json()).map_err(std::io::Error::from);
        let written = bytes.and_then(|bytes| crate::files::write_atomic(path, &bytes));
        written.map_err(|source| AnnotationError::Write { path: path.to_owned(), source })
    }
}

/// A record out of a value.
fn object(value: Value) -> Option<Object> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn annotation(a: &Annotation, image_id: i64) -> Value {
    let segmentation = match &a.segmentation {
        Segmentation::None => json!([]),
        Segmentation::Polygons(polygons) => json!(polygons),
        Segmentation::Rle(rle) => json!({"size": rle.size, "counts": rle.to_packed()}),
    };
    json!({
        "id": a.id, "image_id": image_id, "category_id": a.category_id, "bbox": a.bbox, "area": a.area,
        "iscrowd": u8::from(a.iscrowd), "segmentation": segmentation,
    })
}

/// An id, written as an integer or as a float without a fraction. Records were judged before.
fn id(object: &Object, key: &str) -> i64 {
    let value = object.get(key);
    value.and_then(Value::as_i64).or_else(|| value.and_then(Value::as_f64).map(|v| v as i64)).unwrap_or_default()
}

/// A text of a record.
fn text<'a>(object: &'a Object, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The file name with slashes, as it is looked for.
fn file_name(image: &Object) -> String {
    text(image, "file_name").replace('\\', "/")
}
