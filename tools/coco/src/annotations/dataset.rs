//! Images, objects and classes of one annotation file, ready for training and evaluation.
//!
//! Training and evaluation want different things of the same file, so nothing that evaluation counts is lost here: crowds
//! and boxes without area stay in [`Dataset::annotations`]; [`Dataset::training_objects`] leaves them out.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::BoxXyxy;

use super::classes::{self, listed, ClassList, LabelMode};
use super::error::AnnotationError;
use super::objects::{self, Objects};
use super::problem::{Finding, Problem, Severity};
use super::raw::{self, RawFile};
use super::record::{self, Annotation, Context, ImageRecord};
use super::suspicion;

/// Bad records named in a message at most.
pub(crate) const FIRST_SHOWN: usize = 3;

/// What happens to annotations that would poison training (NaN or negative boxes, unknown ids).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadAnnotation {
    /// The file is refused, with their number and the first ids.
    #[default]
    Error,
    /// They are left out, and counted.
    Drop,
}

/// How a file is read.
#[derive(Clone, Debug)]
pub struct DatasetOptions {
    /// Names of the wanted classes in the order of their labels; all of the file's where `None`.
    pub classes: Option<Vec<String>>,
    /// What a label is.
    pub labels: LabelMode,
    /// What becomes of bad annotations.
    pub on_bad_annotation: OnBadAnnotation,
    /// Whether outlines are kept (they are most of a file's memory; boxes do not need them).
    pub segmentations: bool,
    /// Whether images without an object to train on stay.
    pub keep_empty_images: bool,
    /// Whether wanted classes may be missing from the file (not all of them), as a small validation set has not every class.
    pub absent_classes: bool,
}

impl Default for DatasetOptions {
    fn default() -> Self {
        DatasetOptions {
            classes: None,
            labels: LabelMode::Contiguous,
            on_bad_annotation: OnBadAnnotation::Error,
            segmentations: true,
            keep_empty_images: true,
            absent_classes: false,
        }
    }
}

/// What was read and what was left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Images in the file.
    pub images_in_file: usize,
    /// Annotations in the file.
    pub annotations_in_file: usize,
    /// Bad annotations that were left out.
    pub dropped: usize,
    /// The first of them.
    pub dropped_first: Vec<Finding>,
    /// Annotations of classes that are not wanted.
    pub other_classes: usize,
    /// Crowd regions, which training ignores.
    pub crowds: usize,
    /// Boxes without area inside their image, which training ignores.
    pub without_area: usize,
    /// Images that were left out because no object to train on is in them.
    pub empty_images: usize,
    /// Images that were left out because they cannot be read.
    pub unreadable: usize,
    /// Wanted classes that the file doesn't have.
    pub absent: Vec<String>,
    /// Classes of the file that are not wanted and have objects, with their number.
    pub not_wanted: Vec<(String, usize)>,
    /// What a person should look at: categories that are no classes, boxes that are probably corners, very many objects.
    pub warnings: Vec<String>,
}

/// The objects of one image before its pixels are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleAnnotations {
    /// The image.
    pub image: ImageRecord,
    /// Its objects, crowds included.
    pub annotations: Vec<Annotation>,
}

impl LoadReport {
    /// Lines for a person about what was left out and what looks wrong, in the words of `what` (such as `data.val`).
    pub fn notes(&self, what: &str) -> Vec<String> {
        let mut notes: Vec<String> = self.warnings.iter().map(|warning| format!("{what}: {warning}")).collect();
        if self.dropped > 0 {
            let first: Vec<String> = self.dropped_first.iter().map(Finding::to_string).collect();
            let more = if self.dropped > first.len() { "; …" } else { "" };
            let bad = if self.dropped == 1 { "bad annotation was" } else { "bad annotations were" };
            notes.push(format!("{what}: {} {bad} dropped ({}{more})", self.dropped, first.join("; ")));
        }
        if !self.absent.is_empty() {
            notes.push(format!("{what}: has no class {}; they are not measured", self.absent.join(", ")));
        }
        if !self.not_wanted.is_empty() {
            let names: Vec<String> = self.not_wanted.iter().map(|(name, count)| format!("{name} ({count} objects)")).collect();
            notes.push(format!("{what}: {} left out, as no wanted class", names.join(", ")));
        }
        notes
    }
}

/// An annotation file in memory.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// The file; empty for a set made in memory.
    pub path: PathBuf,
    /// The images in the file's order.
    pub images: Vec<ImageRecord>,
    /// The wanted classes.
    pub classes: ClassList,
    /// What was read and what was left out.
    pub report: LoadReport,
    /// All categories of the file, the ones that are not wanted included.
    pub(crate) category_ids: HashSet<i64>,
    pub(super) objects: Objects,
}

impl Dataset {
    /// Reads an annotation file.
    ///
    /// # Errors
    /// [`AnnotationError`], one line: no file, no COCO JSON, bad images or categories, an unknown class, bad annotations
    /// (unless they are to be dropped), or no image left.
    pub fn load(path: &Path, options: &DatasetOptions) -> Result<Self, AnnotationError> {
        let mut bytes = raw::read_bytes(path)?;
        let file: RawFile = raw::parse(path, &mut bytes)?;
        Self::assemble(path, file, Vec::new(), &[], options)
    }

    /// A set made in memory, as [`crate::shapes`] does.
    pub fn from_samples(samples: Vec<SampleAnnotations>, classes: ClassList) -> Self {
        let (images, objects): (Vec<_>, Vec<_>) = samples.into_iter().map(|s| (s.image, s.annotations)).unzip();
        let category_ids = classes.iter().map(|class| class.category_id).collect();
        let mut dataset = Dataset {
            path: PathBuf::new(),
            images,
            classes,
            report: LoadReport::default(),
            category_ids,
            objects: Objects::Own(objects),
        };
        dataset.count();
        dataset.report.images_in_file = dataset.images.len();
        dataset.report.annotations_in_file = (0..dataset.len()).map(|i| dataset.annotations(i).len()).sum();
        dataset
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// All objects of an image, crowds and boxes without area included; none beyond the last image. A set that was opened from an index
    /// reads all objects into memory when this is first called.
    pub fn annotations(&self, index: usize) -> &[Annotation] {
        self.objects.of(index)
    }

    /// The objects of an image to train on, each with its box clipped to the image: no crowds, no box without area.
    pub fn training_objects(&self, index: usize) -> impl Iterator<Item = (Cow<'_, Annotation>, BoxXyxy)> {
        let [height, width] = self.images.get(index).map_or([0, 0], |image| [image.height, image.width]);
        self.objects.each(index).filter_map(move |object| object.training_box(height, width).map(|bbox| (object, bbox)))
    }

    /// `findings` were met before, `places` are file and line of each annotation, where it has its own.
    pub(crate) fn assemble(
        path: &Path,
        file: RawFile,
        findings: Vec<Finding>,
        places: &[String],
        options: &DatasetOptions,
    ) -> Result<Self, AnnotationError> {
        let mut bad = findings;
        let missing = |what| AnnotationError::Syntax { path: path.to_owned(), reason: Problem::NoList(what).to_string() };
        let raw_images = file.images.ok_or_else(|| missing("images"))?;
        let raw_categories = file.categories.ok_or_else(|| missing("categories"))?;
        // COCO's test sets come without the key: their images are to be predicted on.
        let raw_annotations = file.annotations.unwrap_or_default();

        let mut problems = Vec::new();
        let names = options.classes.as_deref();
        let left_out = classes::placeholders(&raw_categories, &raw_annotations, names);
        let categories = classes::read_categories(&raw_categories, &left_out, &mut problems);
        let findings = problems.iter().map(|problem| Finding::new(problem, None, None)).collect();
        refuse(path, "categories", findings)?;
        let known: HashSet<i64> = categories.iter().map(|&(id, _)| id).collect();
        let in_file = listed(categories.iter().map(|(_, name)| name.as_str()));
        let wanted = classes::Wanted { names, labels: options.labels, may_be_absent: options.absent_classes };
        let (classes, absent) = classes::select(path, categories.clone(), &wanted)?;
        let left_out = problems.iter().filter(|problem| matches!(problem, Problem::CategoryLeftOut { .. }));
        let mut warnings: Vec<String> = left_out.map(Problem::to_string).collect();

        let (images, findings) = read_images(&raw_images);
        refuse(path, "images", findings)?;
        let index: HashMap<i64, usize> = images.iter().enumerate().map(|(index, image)| (image.id, index)).collect();

        let context = Context {
            image_size: &|id| index.get(&id).and_then(|&i| images.get(i)).map(|image| [image.height, image.width]),
            label: &|id| known.contains(&id).then(|| classes.by_category(id).map(|class| class.label)),
            segmentations: options.segmentations,
        };
        let read: Vec<_> =
            raw_annotations.par_iter().enumerate().map(|(i, raw)| record::read_annotation(raw, i, &context)).collect();

        let annotations_in_file = read.len() + bad.len();
        let mut report = LoadReport { images_in_file: images.len(), annotations_in_file, absent, ..Default::default() };
        // Dropping the unknown ones would leave objects of wrong classes.
        if let Some(problem) = suspicion::one_lower(&read, &known) {
            return Err(AnnotationError::Classes { path: path.to_owned(), reason: problem.to_string() });
        }
        let mut other_classes: HashMap<i64, usize> = HashMap::new();
        let mut objects: Vec<Vec<Annotation>> = vec![Vec::new(); images.len()];
        for (number, annotation) in read.into_iter().enumerate() {
            let slot = annotation.image_id.and_then(|id| index.get(&id)).and_then(|&i| objects.get_mut(i));
            match (annotation.record, slot) {
                (Some(record), Some(slot)) => slot.push(record),
                _ => match annotation.problems.iter().find(|problem| problem.severity() == Severity::Error) {
                    Some(problem) => {
                        let finding = Finding::new(problem, annotation.image_id, annotation.id);
                        bad.push(places.get(number).map_or(finding.clone(), |place| finding.at(place)));
                    }
                    None => {
                        report.other_classes += usize::from(!annotation.wanted);
                        if let (false, Some(id)) = (annotation.wanted, annotation.category_id) {
                            *other_classes.entry(id).or_default() += 1;
                        }
                    }
                },
            }
        }
        match options.on_bad_annotation {
            OnBadAnnotation::Error => refuse(path, "annotations", bad)?,
            OnBadAnnotation::Drop => {
                report.dropped = bad.len();
                bad.truncate(FIRST_SHOWN);
                report.dropped_first = bad;
            }
        }
        report.not_wanted =
            categories.into_iter().filter_map(|(id, name)| other_classes.get(&id).map(|count| (name, *count))).collect();
        let mut category_ids = known;
        category_ids.extend(classes.iter().map(|class| class.category_id));
        let objects = Objects::Own(objects);
        let mut dataset = Dataset { path: path.to_owned(), images, classes, report, category_ids, objects };
        dataset.count();
        let boxes = dataset.with_objects().flat_map(|(image, objects)| {
            let size = [image.height, image.width];
            objects.iter().filter(|object| !object.iscrowd).map(move |object| (object.bbox, size))
        });
        warnings.extend(suspicion::corners(boxes).map(|problem| problem.to_string()));
        let dense = suspicion::dense(dataset.with_objects().flat_map(|(image, objects)| {
            objects.iter().filter(|object| !object.iscrowd).map(|object| (image.id, object.category_id))
        }));
        warnings.extend(dense.map(|problem| problem.to_string()));
        dataset.report.warnings = warnings;
        dataset.leave_out_empty(options, &in_file)?;
        Ok(dataset)
    }

    /// The images with all their objects.
    fn with_objects(&self) -> impl Iterator<Item = (&ImageRecord, &[Annotation])> {
        self.images.iter().enumerate().map(|(index, image)| (image, self.annotations(index)))
    }

    /// The set without some of its images, which cannot be read.
    ///
    /// # Errors
    /// No image left.
    pub fn without(mut self, unreadable: &HashSet<usize>) -> Result<Self, AnnotationError> {
        let keep: Vec<bool> = (0..self.len()).map(|index| !unreadable.contains(&index)).collect();
        let images = self.len();
        self.keep(&keep);
        self.report.unreadable = images - self.len();
        match self.is_empty() {
            true => {
                let reason = "none can be read; `repghost-det data check` lists the causes".to_owned();
                Err(AnnotationError::Empty { path: self.path, left: 0, images, reason })
            }
            false => Ok(self),
        }
    }

    fn keep(&mut self, flags: &[bool]) {
        objects::keep(&mut self.images, flags);
        self.objects.keep(flags);
    }

    fn count(&mut self) {
        let (mut all_crowds, mut without_area) = (0, 0);
        for (image, objects) in self.with_objects() {
            let crowds = objects.iter().filter(|object| object.iscrowd).count();
            all_crowds += crowds;
            without_area += objects.len() - crowds - trainable(objects, [image.height, image.width]).count();
        }
        (self.report.crowds, self.report.without_area) = (all_crowds, without_area);
    }

    fn leave_out_empty(&mut self, options: &DatasetOptions, in_file: &str) -> Result<(), AnnotationError> {
        if !options.keep_empty_images {
            let keep: Vec<bool> = (0..self.len()).map(|index| self.training_objects(index).next().is_some()).collect();
            self.keep(&keep);
            self.report.empty_images = self.report.images_in_file - self.images.len();
        }
        if self.is_empty() {
            let report = &self.report;
            let reason = format!(
                "categories in the file: [{in_file}], wanted: [{}]; of {} annotations {} are of other classes, {} bad, {} crowds, {} \
                 without area; {} images without an object were left out",
                options.classes.as_ref().map_or("all".to_owned(), |names| listed(names.iter().map(String::as_str))),
                report.annotations_in_file,
                report.other_classes,
                report.dropped,
                report.crowds,
                report.without_area,
                report.empty_images,
            );
            return Err(AnnotationError::Empty { path: self.path.clone(), left: 0, images: report.images_in_file, reason });
        }
        Ok(())
    }
}

/// The objects to train on among an image's, with their boxes clipped to its `[height, width]`.
pub fn trainable(objects: &[Annotation], size: [u32; 2]) -> impl Iterator<Item = (&Annotation, BoxXyxy)> {
    objects.iter().filter_map(move |object| object.training_box(size[0], size[1]).map(|bbox| (object, bbox)))
}

/// The images of a file, with what is wrong with them.
pub(crate) fn read_images(raw: &[raw::RawImage]) -> (Vec<ImageRecord>, Vec<Finding>) {
    let mut seen = HashSet::with_capacity(raw.len());
    let (mut images, mut findings) = (Vec::with_capacity(raw.len()), Vec::new());
    let mut problems = Vec::new();
    for raw in raw {
        let image = record::read_image(raw, &mut problems);
        let id = image.as_ref().map(|image| image.id).or(match raw.id {
            raw::Scalar::Int(id) => Some(id),
            _ => None,
        });
        if let Some(id) = id.filter(|&id| !seen.insert(id)) {
            problems.push(Problem::DuplicateImageId(id));
        }
        let name = raw.file_name.text();
        findings.extend(problems.drain(..).map(|problem| {
            let finding = Finding::new(&problem, id, None);
            name.map_or(finding.clone(), |name| finding.of_file(name))
        }));
        images.extend(image);
    }
    (images, findings)
}

/// An error where any finding is one.
fn refuse(path: &Path, what: &'static str, mut findings: Vec<Finding>) -> Result<(), AnnotationError> {
    findings.retain(|finding| finding.severity == Severity::Error);
    if findings.is_empty() {
        return Ok(());
    }
    let count = findings.len();
    let mut first = findings.iter().take(FIRST_SHOWN).map(Finding::to_string).collect::<Vec<_>>().join("; ");
    if count > FIRST_SHOWN {
        first.push_str("; …");
    }
    let drop = if what == "annotations" { "mend them or set `on_bad_annotation: drop`; " } else { "" };
    let advice = format!("{drop}`repghost-det data check` lists them all");
    Err(AnnotationError::Records { path: path.to_owned(), what, count, first, advice })
}
