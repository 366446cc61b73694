//! Data sets in other formats than COCO's, read into the same records.
//!
//! | format | what is given |
//! |---|---|
//! | [`yolo`] | `data.yaml`, or a folder of label files |
//! | [`voc`] | a folder of Pascal VOC's XML files, or one that holds `Annotations/` |
//! | [`cvat`] | the XML file of "CVAT for images" |
//! | [`labelme`] | a folder of LabelMe's JSON files |
//!
//! A reader only translates: the records are then judged by the same code as COCO's ([`crate::annotations::record`]). What it cannot
//! translate is a [`Finding`] that names file and line; nothing is left out without one.
//!
//! To add a format: a file here with a [`Format`], and its row in [`FORMATS`].

pub mod cvat;
pub mod labelme;
pub mod voc;
mod xml;
pub mod yolo;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crate::annotations::raw::{self, RawAnnotation, RawBox, RawCategory, RawFile, RawImage, Scalar};
use crate::annotations::{AnnotationError, Dataset, DatasetOptions, Finding, Problem};

/// A format: how it is recognised, and how it is read.
pub struct Format {
    /// Its name, as `data.source` takes it.
    pub name: &'static str,
    /// What has to be given.
    pub expects: &'static str,
    /// Whether a path looks like this format.
    pub fits: fn(&Path) -> bool,
    /// Reads it.
    pub read: fn(&Place) -> Result<Records, AnnotationError>,
}

/// All formats beside COCO's; the first that fits is taken.
pub const FORMATS: &[Format] = &[yolo::FORMAT, cvat::FORMAT, voc::FORMAT, labelme::FORMAT];

/// The format of a path; `None` for COCO JSON, and for what is not recognised.
pub fn recognise(path: &Path) -> Option<&'static Format> {
    FORMATS.iter().find(|format| (format.fits)(path))
}

/// Where a set lies.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The annotation file, or the folder of annotation files.
    pub annotations: &'a Path,
    /// The folder of images, where it is not where the format has it.
    pub images: Option<&'a Path>,
    /// Which part of a set that holds several: `train`, `val`, `test`.
    pub split: Option<&'a str>,
}

impl Dataset {
    /// Reads a set in whatever format it is in: COCO's file, or one of [`FORMATS`]. Returns the folder of its images, too, where
    /// the format or `place` has one.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    pub fn open(place: &Place, options: &DatasetOptions) -> Result<(Self, Option<PathBuf>), AnnotationError> {
        match recognise(place.annotations) {
            None => Ok((Self::load(place.annotations, options)?, place.images.map(Path::to_path_buf))),
            Some(format) => {
                let records = (format.read)(place)?;
                let dataset = Self::from_records(place.annotations, &records, options)?;
                Ok((dataset, Some(records.root)))
            }
        }
    }

    /// A set from records that were read, or made, by somebody else. They are judged as those of a file are; `path` is for messages.
    ///
    /// # Errors
    /// As [`Dataset::load`].
    fn from_records(path: &Path, records: &Records, options: &DatasetOptions) -> Result<Self, AnnotationError> {
        let shapes = records.shapes();
        Self::assemble(path, records.raw(&shapes), records.findings.clone(), &records.places(), options)
    }
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEntry {
    /// Path below the image folder.
    pub file_name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// An object.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectEntry {
    /// Index of its image.
    pub image: usize,
    /// Index of its category.
    pub category: usize,
    /// x, y, width, height in pixels.
    pub bbox: [f64; 4],
    /// Outlines: x, y, x, y, … in pixels; empty for a box alone.
    pub polygons: Vec<Vec<f64>>,
    /// Whether it is ignored rather than learned.
    pub ignored: bool,
    /// File and line it was read from.
    pub place: String,
}

/// What a reader found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// The folder that the file names are relative to.
    pub root: PathBuf,
    /// Names of the categories; their ids count from 1.
    pub categories: Vec<String>,
    /// The images.
    pub images: Vec<ImageEntry>,
    /// Their objects.
    pub objects: Vec<ObjectEntry>,
    /// What could not be translated.
    pub findings: Vec<Finding>,
}

impl Records {
    /// The category of a name, which joins the list where it is new.
    fn category(&mut self, name: &str) -> usize {
        self.categories.iter().position(|known| known == name).unwrap_or_else(|| {
            self.categories.push(name.to_string());
            self.categories.len() - 1
        })
    }

    /// Records what cannot be translated at a place.
    fn report(&mut self, problem: Problem, place: impl Into<String>) {
        self.findings.push(Finding::new(&problem, None, None).at(place));
    }

    /// Categories in alphabetical order, for formats that have no list of them: then they do not depend on the files' order.
    fn sort_categories(&mut self) {
        let mut order: Vec<usize> = (0..self.categories.len()).collect();
        order.sort_by(|a, b| self.categories[*a].cmp(&self.categories[*b]));
        let mut place = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            place[old] = new;
        }
        self.categories = order.iter().map(|&old| self.categories[old].clone()).collect();
        self.objects.iter_mut().for_each(|object| object.category = place[object.category]);
    }

    /// Files and lines of the objects, in their order.
    pub(crate) fn places(&self) -> Vec<String> {
        self.objects.iter().map(|object| object.place.clone()).collect()
    }

    /// The outlines as COCO has them.
    pub(crate) fn shapes(&self) -> Vec<Option<Box<RawValue>>> {
        let json = |polygons: &Vec<Vec<f64>>| serde_json::value::to_raw_value(polygons).ok();
        self.objects.iter().map(|o| (!o.polygons.is_empty()).then(|| json(&o.polygons)).flatten()).collect()
    }

    /// The records as an annotation file has them; `shapes` are those of [`Records::shapes`].
    pub(crate) fn raw<'a>(&'a self, shapes: &'a [Option<Box<RawValue>>]) -> RawFile<'a> {
        fn text(text: &str) -> Scalar<'_> {
            Scalar::Text(Cow::Borrowed(text))
        }
        let id = |index: usize| Scalar::Int(index as i64 + 1);
        let images = self.images.iter().enumerate().map(|(i, image)| RawImage {
            id: id(i),
            file_name: text(&image.file_name),
            height: Scalar::Int(image.height.into()),
            width: Scalar::Int(image.width.into()),
        });
        let annotations = self.objects.iter().zip(shapes).enumerate().map(|(i, (object, shape))| RawAnnotation {
            id: id(i),
            image_id: id(object.image),
            category_id: id(object.category),
            bbox: RawBox::List(4, object.bbox),
            // Pixels of the outline where there is one, as COCO counts them; of the box elsewhere.
            area: if shape.is_some() { Scalar::Missing } else { Scalar::Float(object.bbox[2] * object.bbox[3]) },
            iscrowd: Scalar::Int(object.ignored.into()),
            score: Scalar::Missing,
            file_name: Scalar::Missing,
            segmentation: shape.as_deref(),
        });
        let categories = self.categories.iter().enumerate().map(|(i, name)| RawCategory {
            id: id(i),
            name: text(name),
            supercategory: Scalar::Missing,
        });
        RawFile {
            images: Some(images.collect()),
            annotations: Some(annotations.collect()),
            categories: Some(categories.collect()),
        }
    }
}

/// The smallest box around outlines, as x, y, width, height.
fn around(polygons: &[Vec<f64>]) -> [f64; 4] {
    let span = |axis: usize| {
        let values = polygons.iter().flat_map(|p| p.iter().skip(axis).step_by(2));
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)))
    };
    let ((left, right), (top, bottom)) = (span(0), span(1));
    [left, top, right - left, bottom - top]
}

/// Regular files of a folder with one of the extensions, in order of their names.
fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, AnnotationError> {
    let failed = |source| AnnotationError::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let fits =
            path.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.contains(&e.to_ascii_lowercase().as_str()));
        if fits && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A text file, a byte-order mark left out.
fn read_text(path: &Path) -> Result<String, AnnotationError> {
    let bytes = raw::read_bytes(path)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_string())
}

/// `folder/a.txt, line 3`.
fn line(path: &Path, number: usize) -> String {
    format!("{}, line {number}", path.display())
}
