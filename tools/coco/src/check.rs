//! Looks for everything that is wrong with an annotation file and its images.
//!
//! Peers fail late and dark on bad data: a NaN loss after an hour, or "need at least one array to concatenate". Here every
//! record is judged by the same code that reads it for training ([`crate::annotations::record`]), so what passes here trains,
//! and what training refuses is explained here, with image and annotation ids.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::annotations::raw::{self, RawFile};
use crate::annotations::record::{read_annotation, Context, ReadAnnotation};
use crate::annotations::{classes, dataset, suspicion, AnnotationError, Finding, ImageRecord, Problem, Segmentation, Severity};
use crate::decode::{self, DecodeConfig};
use crate::error::DataError;
use crate::formats::{self, Format, Place};

/// Gets what is looked at, how many are done, how many there are; from several threads.
pub type Progress<'a> = &'a (dyn Fn(&'static str, usize, usize) + Sync);

/// Annotations between two reports of progress.
const STEP: usize = 1 << 12;

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

/// 16-bit images whose largest sample is below this are nearly black in 8 bits: 12-bit data has values up to 4095.
const DARK: u16 = 4096;

/// How image files are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageCheck {
    /// Decoded from the first byte to the last.
    #[default]
    Decode,
    /// Only their headers (and the end marker of a JPEG) are read: quick, but other damaged files pass.
    Header,
}

/// Checks an annotation file, and the images where a folder is given.
///
/// # Errors
/// Only where the annotation file cannot be read from disk; a file that is no COCO JSON is a finding.
pub fn check(annotations: &Path, images: Option<&Path>, how: ImageCheck) -> Result<CheckReport, AnnotationError> {
    check_as(annotations, images, how, &DecodeConfig::default(), &|_, _, _| {})
}

/// As [`check`], with images decoded as an experiment's `data` has it. `progress` gets what is looked at (`annotations`, `images`), how
/// many are done and how many there are.
///
/// # Errors
/// As [`check`].
pub fn check_as(
    annotations: &Path,
    images: Option<&Path>,
    how: ImageCheck,
    decode: &DecodeConfig,
    progress: Progress,
) -> Result<CheckReport, AnnotationError> {
    let mut report =
        CheckReport { annotation_file: annotations.to_owned(), image_folder: images.map(Path::to_owned), ..Default::default() };
    if let Some(format) = formats::recognise(annotations) {
        return check_other(format, annotations, images, how, decode, progress);
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
    let records = check_records(file, &[], progress, &mut report);
    drop(bytes);
    if let Some(folder) = images {
        check_files(folder, &records, how, decode, progress, &mut report);
    }
    Ok(report)
}

/// The same for a set in another format: what could not be translated comes first, then what is wrong with the records.
fn check_other(
    format: &Format,
    path: &Path,
    images: Option<&Path>,
    how: ImageCheck,
    decode: &DecodeConfig,
    progress: Progress,
) -> Result<CheckReport, AnnotationError> {
    let records = (format.read)(&Place { annotations: path, images, split: None })?;
    let mut report =
        CheckReport { annotation_file: path.to_owned(), image_folder: Some(records.root.clone()), ..Default::default() };
    report.findings.clone_from(&records.findings);
    let shapes = records.shapes();
    let list = check_records(records.raw(&shapes), &records.places(), progress, &mut report);
    check_files(&records.root, &list, how, decode, progress, &mut report);
    Ok(report)
}

/// Everything that the records alone show. Where each has a place, areas are never there and no finding.
fn check_records(file: RawFile, places: &[String], progress: Progress, report: &mut CheckReport) -> Vec<ImageRecord> {
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
    let left_out = classes::placeholders(raw_categories, raw_annotations, None);
    let categories = classes::read_categories(raw_categories, &left_out, &mut problems);
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
    let done = AtomicUsize::new(0);
    let judge = |(place, raw)| {
        let mut read = read_annotation(raw, place, &context);
        if is_mask_empty(&read, &sizes) {
            read.problems.push(Problem::MaskEmpty);
        }
        // Outlines are most of a file: each is dropped once it is judged.
        if let Some(record) = &mut read.record {
            record.segmentation = Segmentation::None;
        }
        let so_far = done.fetch_add(1, Ordering::Relaxed) + 1;
        if so_far.is_multiple_of(STEP) {
            progress("annotations", so_far, raw_annotations.len());
        }
        read
    };
    let read: Vec<ReadAnnotation> = raw_annotations.par_iter().enumerate().map(judge).collect();
    drop(file);
    let suspicions = suspicions(&read, &sizes, &known);
    report.findings.extend(suspicions.iter().map(|problem| Finding::new(problem, None, None)));
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

/// What only all records together show.
fn suspicions(read: &[ReadAnnotation], sizes: &HashMap<i64, [u32; 2]>, known: &HashSet<i64>) -> Vec<Problem> {
    let objects = || read.iter().filter_map(|annotation| Some((annotation.image_id?, annotation.record.as_ref()?)));
    let single = || objects().filter(|(_, object)| !object.iscrowd);
    let boxes = single().filter_map(|(id, object)| Some((object.bbox, sizes.get(&id).copied()?)));
    let found = [
        suspicion::one_lower(read, known),
        suspicion::corners(boxes),
        suspicion::dense(single().map(|(id, object)| (id, object.category_id))),
    ];
    found.into_iter().flatten().collect()
}

fn is_mask_empty(read: &ReadAnnotation, sizes: &HashMap<i64, [u32; 2]>) -> bool {
    let (Some(record), Some(size)) = (&read.record, read.image_id.and_then(|id| sizes.get(&id))) else { return false };
    matches!(record.segmentation.to_rle(size[0], size[1]), Ok(Some(rle)) if rle.area() == 0)
}

/// Looks at every image file, in parallel.
fn check_files(
    folder: &Path,
    images: &[ImageRecord],
    how: ImageCheck,
    decode: &DecodeConfig,
    progress: Progress,
    report: &mut CheckReport,
) {
    let done = AtomicUsize::new(0);
    let look = |image| {
        let problems = check_image(folder, image, how, decode);
        progress("images", done.fetch_add(1, Ordering::Relaxed) + 1, images.len());
        problems
    };
    let problems: Vec<Vec<Problem>> = images.par_iter().map(look).collect();
    for (image, problems) in images.iter().zip(&problems) {
        let findings = problems.iter().map(|problem| Finding::new(problem, Some(image.id), None).of_file(&image.file_name));
        report.findings.extend(findings);
    }
}

/// What is wrong with the files of every `step`-th image, by index; of the others only whether they are there. In parallel.
pub fn check_images(
    folder: &Path,
    images: &[ImageRecord],
    step: usize,
    how: ImageCheck,
    config: &DecodeConfig,
) -> Vec<(usize, Problem)> {
    let problems = |(i, image): (usize, &ImageRecord)| -> Vec<(usize, Problem)> {
        let is_there = || decode::resolve(folder, &image.file_name).is_ok_and(|path| decode::is_there(&path));
        if i % step.max(1) != 0 && is_there() {
            return Vec::new();
        }
        check_image(folder, image, how, config).into_iter().map(|problem| (i, problem)).collect()
    };
    images.par_iter().enumerate().flat_map_iter(problems).collect()
}

/// What is wrong with the file of an image, which would be decoded as `config` has it.
fn check_image(folder: &Path, image: &ImageRecord, how: ImageCheck, config: &DecodeConfig) -> Vec<Problem> {
    let Ok(path) = decode::resolve(folder, &image.file_name) else {
        return vec![Problem::PathLeaves(image.file_name.clone())];
    };
    let read = decode::read_bytes(&path).and_then(|bytes| Ok((decode::read_header(&bytes, &path, config)?, bytes)));
    let (header, bytes) = match read {
        Ok(read) => read,
        Err(_) if !decode::is_there(&path) => return vec![Problem::FileMissing(decode::missing::hint(folder, &image.file_name))],
        Err(error) => return vec![unreadable(error)],
    };
    let mut problems = Vec::new();
    if how == ImageCheck::Decode {
        if let Err(error) = decode::decode_image(&bytes, &path, config) {
            return vec![unreadable(error)];
        }
        let largest = header.sixteen_bit.then(|| decode::largest_sample(&bytes, config)).flatten();
        problems.extend(largest.filter(|most| *most < DARK).map(Problem::Dark));
    }
    let json = [image.height, image.width];
    let [stored, upright] = [header.stored, header.upright()].map(|[width, height]| [height as u32, width as u32]);
    let (found, other) = if config.apply_exif { (upright, stored) } else { (stored, upright) };
    if found != json {
        // Some sets give sizes and boxes for the upright image of a file that is stored lying down.
        problems.push(match other == json {
            true if config.apply_exif => Problem::SizeStored { json },
            true => Problem::SizeTurned { json },
            false => Problem::SizeMismatch { json, file: found },
        });
    } else if header.orientation != 1 && !config.apply_exif {
        problems.push(Problem::Orientation(header.orientation));
    }
    problems
}

fn unreadable(error: DataError) -> Problem {
    match error {
        DataError::Read { source, .. } => Problem::Unreadable(source.to_string()),
        DataError::Image { reason, .. } => Problem::Unreadable(reason),
        other => Problem::Unreadable(other.to_string()),
    }
}
