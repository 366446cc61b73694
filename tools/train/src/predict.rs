//! Predicting on image files: boxes (and masks) in original pixels, and pictures of them.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use repghost_coco::annotations::{ClassList, LabelMode};
use repghost_coco::draw::{draw_objects, of_detections, Style};
use repghost_coco::files::write_picture;
use repghost_coco::judge::Thresholds;
use repghost_coco::{DecodeConfig, Detection, RgbImage};
use repghost_distributed::Group;

use crate::chosen_thresholds::Cutoffs;
use crate::config::Experiment;
use crate::detection::infer::ImageDetections;
use crate::detection::pictures;
use crate::engine::EnginePool;
use crate::error::TrainError;
use crate::evaluate::write_classes;
use crate::images::{FoundImages, ImageFiles};
use crate::inference::{run, Job};
use crate::model::Class;
use crate::prediction_files::{self, ListFormat};

/// Images to predict on, and where results go.
#[derive(Clone, Debug, Default)]
pub struct PredictOptions {
    /// Files and folders.
    pub images: Vec<PathBuf>,
    /// Search subfolders too.
    pub recursive: bool,
    /// Take pixels as they are stored, in place of turning images upright by their EXIF orientation.
    pub as_stored: bool,
    /// Folder for `detections.json` and the pictures.
    pub output: PathBuf,
    /// Detections above this score are kept, in the file and in the pictures. Unset: the experiment's in the file, and a higher one in the
    /// pictures.
    pub score_threshold: Option<f64>,
    /// Thresholds that were chosen for the weights; an explicit `score_threshold` overrides them.
    pub thresholds: Option<Thresholds>,
    /// How the list is written.
    pub format: ListFormat,
    /// Cut the objects out too, into `crops/CLASS/`.
    pub crops: bool,
    /// The processes that share the images; the first one writes the list.
    pub group: Option<Group>,
}

/// A summary of predictions.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// Images that were predicted on.
    pub images: usize,
    /// Detections in the file.
    pub detections: usize,
    /// The list: a file, or the folder of YOLO's label files.
    pub list: PathBuf,
    /// Messages about images that could not be read.
    pub unreadable: Vec<String>,
    /// What was passed over in folders, in words.
    pub passed_over: Option<String>,
    /// Images that were turned upright by their EXIF orientation.
    pub turned: usize,
}

impl PredictOptions {
    /// How the images are decoded.
    pub fn decode(&self) -> DecodeConfig {
        DecodeConfig { apply_exif: !self.as_stored, ..DecodeConfig::default() }
    }

    /// Whether this process writes the list.
    pub(crate) fn writes(&self) -> bool {
        self.group.as_ref().is_none_or(Group::is_first)
    }

    /// Checks that the processes share the same images.
    pub(crate) fn agree_on(&self, paths: &[PathBuf]) -> Result<(), TrainError> {
        let Some(group) = &self.group else { return Ok(()) };
        Ok(group.agree("the number of images", &paths.len().to_string())?)
    }

    /// The sum of a count over the processes.
    pub(crate) fn sum(&self, count: usize) -> Result<usize, TrainError> {
        let Some(group) = &self.group else { return Ok(count) };
        let mut total = [count as f64];
        group.sum(&mut total)?;
        Ok(total[0] as usize)
    }

    /// The chosen thresholds, where no other one is asked for.
    pub(crate) fn chosen(&self) -> Option<&Thresholds> {
        self.thresholds.as_ref().filter(|_| self.score_threshold.is_none())
    }

    /// The experiment with the threshold of these options: the one that the detector is to be built from.
    ///
    /// # Errors
    /// A threshold out of range.
    pub fn applied(&self, e: &Experiment) -> Result<Experiment, TrainError> {
        let mut e = e.clone();
        if let Some(threshold) = self.score_threshold {
            if !(0.0..1.0).contains(&threshold) {
                let problem = format!("expected a number from 0 to below 1, found {threshold}");
                return Err(TrainError::Argument { field: "score_threshold", problem });
            }
            e.eval.score_threshold = threshold;
        }
        Ok(e)
    }
}

/// Predicts, and writes a picture of each image and, at the end, `detections.json`. `None` where `stop` was raised: the list is not written
/// then.
///
/// # Errors
/// Images that cannot be found, a disk that is full.
pub fn predict(
    e: &Experiment,
    pool: &dyn EnginePool,
    options: &PredictOptions,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Predicted>, TrainError> {
    let found = FoundImages::find(&options.images, options.recursive)?;
    let passed_over = found.passed_over();
    options.agree_on(&found.paths)?;
    let writer = PredictionWriter::new(options, &found.paths, pool.classes())?;
    let source = ImageFiles::new(found.paths, options.decode());
    let job = Job {
        source: &source,
        pool,
        classes: pool.classes(),
        score_threshold: e.eval.score_threshold,
        cutoffs: options.chosen().map(|t| Cutoffs::new(t, pool.classes())).unwrap_or_default(),
        skip_unreadable: true,
        threads: e.train.threads,
        group: options.group.as_ref(),
    };
    let draw = |i: usize, image, detections: &ImageDetections| writer.draw(i, image, detections);
    let Some(inferred) = run(&job, stop, progress, Some(&draw))? else { return Ok(None) };
    let list = match options.writes() {
        true => writer.list(&inferred.images)?,
        false => options.output.clone(),
    };
    Ok(Some(Predicted {
        images: inferred.images.len(),
        detections: inferred.images.iter().map(|image| image.objects.len()).sum(),
        list,
        unreadable: inferred.unreadable,
        passed_over,
        turned: options.sum(source.turned())?,
    }))
}

/// Writes pictures of images with their detections, and the list of all detections.
pub struct PredictionWriter {
    folder: PathBuf,
    names: Vec<String>,
    classes: ClassList,
    of_labels: Vec<Class>,
    threshold: f64,
    format: ListFormat,
    crops: bool,
}

impl PredictionWriter {
    /// Makes the folder.
    ///
    /// # Errors
    /// The disk's.
    pub fn new(options: &PredictOptions, paths: &[PathBuf], classes: &[Class]) -> Result<Self, TrainError> {
        std::fs::create_dir_all(&options.output).map_err(TrainError::io(&options.output))?;
        let pairs = classes.iter().map(|c| (c.id, c.name.clone()));
        Ok(Self {
            folder: options.output.clone(),
            names: unique_stems(paths),
            of_labels: classes.to_vec(),
            format: options.format,
            crops: options.crops,
            classes: ClassList::new(pairs, LabelMode::Contiguous).map_err(TrainError::Classes)?,
            // Chosen thresholds are applied before anything is drawn.
            threshold: options.score_threshold.unwrap_or(if options.thresholds.is_some() { 0.0 } else { pictures::SHOWN_SCORE }),
        })
    }

    /// Draws the objects of image number `i` and writes the picture.
    ///
    /// # Errors
    /// The disk's.
    pub fn draw(&self, i: usize, mut image: RgbImage, image_detections: &ImageDetections) -> Result<(), TrainError> {
        let Some(name) = self.names.get(i) else { return Ok(()) };
        self.cut_out(name, &image, image_detections)?;
        self.draw_on(&mut image, image_detections);
        let target = self.folder.join(format!("{name}.png"));
        write_picture(&target, &image).map_err(TrainError::io(&target))
    }

    /// Draws the objects that are shown.
    pub fn draw_on(&self, image: &mut RgbImage, found: &ImageDetections) {
        let style = Style::for_size(image.width(), image.height());
        draw_objects(image, &of_detections(&found.objects, &self.classes, self.threshold), &style);
    }

    /// Cuts the objects that are shown out of an image that nothing is drawn on, where that was asked for.
    ///
    /// # Errors
    /// The disk's.
    pub fn cut_out(&self, name: &str, image: &RgbImage, found: &ImageDetections) -> Result<(), TrainError> {
        if self.crops {
            let shown: Vec<Detection> = found.objects.iter().filter(|d| d.score >= self.threshold).cloned().collect();
            prediction_files::write_crops(&self.folder.join("crops"), name, image, &shown, &self.of_labels)?;
        }
        Ok(())
    }

    /// Writes `classes.json`: the names of the category ids.
    ///
    /// # Errors
    /// The disk's.
    pub fn classes_file(&self) -> Result<(), TrainError> {
        write_classes(&self.folder, self.classes.iter().map(|class| (class.category_id, class.name.as_str())))
    }

    /// Writes the list of detections; returns where it is.
    ///
    /// # Errors
    /// The disk's.
    pub fn list(&self, images: &[ImageDetections]) -> Result<PathBuf, TrainError> {
        let path = self.format.write(&self.folder, images, &self.names, &self.of_labels)?;
        self.classes_file()?;
        Ok(path)
    }
}

/// The stem of each image's name; with its number behind where several have one stem.
pub(crate) fn unique_stems(paths: &[PathBuf]) -> Vec<String> {
    let stem = |p: &Path| p.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut counts = std::collections::HashMap::new();
    for path in paths {
        *counts.entry(stem(path)).or_insert(0) += 1;
    }
    let name = |(i, path): (usize, &PathBuf)| match counts.get(&stem(path)) {
        Some(1) => stem(path),
        _ => format!("{}_{}", stem(path), i + 1),
    };
    paths.iter().enumerate().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_one_name_are_numbered() {
        let paths = ["a/a.png", "a/b.JPG", "a.png"].map(PathBuf::from);
        assert_eq!(unique_stems(&paths), ["a_1", "b", "a_3"]);
    }
}
