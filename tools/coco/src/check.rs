//! Looks for everything that is wrong with an annotation file and its images.
//!
//! Peers fail late and dark on bad data: a NaN loss after an hour, or "need at least one array to concatenate". Here every
//! record is judged by the same code that reads it for training ([`crate::annotations::record`]), so what passes here trains,
//! and what training refuses is explained here, with image and annotation ids.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;

use crate::annotations::raw::{self, RawFile};
use crate::annotations::record::{read_annotation, Context, ReadAnnotation};
use crate::annotations::{classes, dataset, AnnotationError, Finding, ImageRecord, Problem, Severity};
use crate::decode::{self, DecodeConfig};
use crate::error::DataError;
use crate::formats::{self, Format, Place};

/// What was looked at and what was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// The annotation file.
    pub annotation_file: PathBuf,
    /// The image folder, where images were looked at.
    pub image_folder: Option<PathBuf>,
    /// Images in the annotation file.
    pub images: usize,
    /// Annotations in it.
    pub annotations: usize,
    /// Categories in it.
    pub categories: usize,
    /// All findings: the file's, then the categories', the images', the annotations', the image files'.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// Number of findings of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether training would refuse something.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }
}

/// How image files are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageCheck {
    /// Decoded from the first byte to the last.
    #[default]
    Decode,
    /// Only their headers are read: quick, but a truncated file passes.
    Header,
}

/// Checks an annotation file, and the images where a folder is given.
///
/// # Errors
/// Only where the annotation file cannot be read from disk; a file that is no COCO JSON is a finding.
pub fn check(annotations: &Path, images: Option<&Path>, how: ImageCheck) -> Result<CheckReport, AnnotationError> {
    let mut report =
        CheckReport { annotation_file: annotations.to_owned(), image_folder: images.map(Path::to_owned), ..Default::default() };
    if let Some(format) = formats::recognise(annotations) {
        return check_other(format, annotations, images, how);
    }
    let mut bytes = raw::read_bytes(annotations)?;
    let file: RawFile = match raw::parse(annotations, &mut bytes) {
        Ok(file) => file,
        Err(AnnotationError::Syntax { reason, .. }) => {
            report.findings.push(Finding::new(&Problem::NoCocoFile(reason), None, None));
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let records = check_records(&file, &[], &mut report);
    if let Some(folder) = images {
        check_files(folder, &records, how, &mut report);
    }
    Ok(report)
}

/// The same for a set in another format: what could not be translated comes first, then what is wrong with the records.
fn check_other(format: &Format, path: &Path, images: Option<&Path>, how: ImageCheck) -> Result<CheckReport, AnnotationError> {
    let records = (format.read)(&Place { annotations: path, images, split: None })?;
    let mut report =
        CheckReport { annotation_file: path.to_owned(), image_folder: Some(records.root.clone()), ..Default::default() };
    report.findings.clone_from(&records.findings);
    let shapes = records.shapes();
    let list = check_records(&records.raw(&shapes), &records.places(), &mut report);
    check_files(&records.root, &list, how, &mut report);
    Ok(report)
}

/// Everything that the records alone show. Where each has a place, areas are never there and no finding.
fn check_records(file: &RawFile, places: &[String], report: &mut CheckReport) -> Vec<ImageRecord> {
    let raw_images = file.images.as_deref().unwrap_or_default();
    let raw_annotations = file.annotations.as_deref().unwrap_or_default();
    let raw_categories = file.categories.as_deref().unwrap_or_default();
    (report.images, report.annotations, report.categories) = (raw_images.len(), raw_annotations.len(), raw_categories.len());

    let mut problems: Vec<Problem> = [
        ("images", file.images.is_none()),
        ("annotations", file.annotations.is_none()),
        ("categories", file.categories.is_none()),
    ]
    .into_iter()
    .filter(|(_, missing)| *missing)
    .map(|(list, _)| Problem::NoList(list))
    .collect();
    if file.images.as_ref().is_some_and(Vec::is_empty) {
        problems.push(Problem::NoImages);
    }
    if file.categories.as_ref().is_some_and(Vec::is_empty) {
        problems.push(Problem::NoCategories);
    }
    if file.annotations.as_ref().is_some_and(Vec::is_empty) {
        problems.push(Problem::NoAnnotations);
    }
    let categories = classes::read_categories(raw_categories, &mut problems);
    report.findings.extend(problems.iter().map(|problem| Finding::new(problem, None, None)));

    let (images, findings) = dataset::read_images(raw_images);
    report.findings.extend(findings);
    let mut names: HashSet<&str> = HashSet::with_capacity(images.len());
    for image in images.iter().filter(|image| !names.insert(&image.file_name)) {
        let problem = Problem::DuplicateFileName(image.file_name.clone());
        report.findings.push(Finding::new(&problem, Some(image.id), None).of_file(&image.file_name));
    }

    let sizes: HashMap<i64, [u32; 2]> = images.iter().map(|image| (image.id, [image.height, image.width])).collect();
    let known: HashSet<i64> = categories.iter().map(|&(id, _)| id).collect();
    let context = Context {
        image_size: &|id| sizes.get(&id).copied(),
        // Labels do not matter here, only that the category is known.
        label: &|id| known.contains(&id).then_some(Some(0)),
        segmentations: true,
    };
    let read: Vec<ReadAnnotation> = raw_annotations
        .par_iter()
        .enumerate()
        .map(|(place, raw)| {
            let mut read = read_annotation(raw, place, &context);
            if is_mask_empty(&read, &sizes) {
                read.problems.push(Problem::MaskEmpty);
            }
            read
        })
        .collect();
    let mut ids = HashSet::with_capacity(read.len());
    for (number, annotation) in read.into_iter().enumerate() {
        let twice = annotation.id.filter(|&id| !ids.insert(id)).map(Problem::DuplicateAnnotationId);
        let problems = annotation.problems.iter().chain(&twice);
        let place = places.get(number);
        report.findings.extend(problems.filter(|p| place.is_none() || **p != Problem::NoArea).map(|problem| {
            let finding = Finding::new(problem, annotation.image_id, annotation.id);
            place.map_or(finding.clone(), |place| finding.at(place))
        }));
    }
    images
}

fn is_mask_empty(read: &ReadAnnotation, sizes: &HashMap<i64, [u32; 2]>) -> bool {
    let (Some(record), Some(size)) = (&read.record, read.image_id.and_then(|id| sizes.get(&id))) else { return false };
    matches!(record.segmentation.to_rle(size[0], size[1]), Ok(Some(rle)) if rle.area() == 0)
}

/// Looks at every image file, in parallel.
fn check_files(folder: &Path, images: &[ImageRecord], how: ImageCheck, report: &mut CheckReport) {
    let findings: Vec<Option<Finding>> = images
        .par_iter()
        .map(|image| {
            let problem = check_file(folder, image, how)?;
            Some(Finding::new(&problem, Some(image.id), None).of_file(&image.file_name))
        })
        .collect();
    report.findings.extend(findings.into_iter().flatten());
}

fn check_file(folder: &Path, image: &ImageRecord, how: ImageCheck) -> Option<Problem> {
    let Ok(path) = decode::resolve(folder, &image.file_name) else {
        return Some(Problem::PathLeaves(image.file_name.clone()));
    };
    let stored = DecodeConfig::default();
    let size = match how {
        ImageCheck::Decode => {
            decode::read_image(&path, &stored).map(|pixels| [pixels.height() as usize, pixels.width() as usize])
        }
        ImageCheck::Header => decode::image_size(&path, &stored).map(|[width, height]| [height, width]),
    };
    let json = [image.height, image.width];
    let size = match size {
        Ok(size) => size.map(|side| side as u32),
        Err(error) => return Some(file_problem(&path, error)),
    };
    if size == json {
        return None;
    }
    // Some sets give sizes and boxes for the upright image of a file that is stored lying down.
    let upright = decode::image_size(&path, &DecodeConfig { apply_exif: true, ..stored });
    match upright {
        Ok([width, height]) if [height as u32, width as u32] == json => Some(Problem::SizeTurned { json }),
        _ => Some(Problem::SizeMismatch { json, file: size }),
    }
}

fn file_problem(path: &Path, error: DataError) -> Problem {
    match error {
        _ if !path.exists() => Problem::FileMissing,
        DataError::Read { source, .. } => Problem::Unreadable(source.to_string()),
        DataError::Image { reason, .. } => Problem::Unreadable(reason),
        other => Problem::Unreadable(other.to_string()),
    }
}
