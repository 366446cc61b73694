//! Predicting on image files: boxes (and masks) in original pixels, and pictures of them.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use repghost_coco::annotations::{ClassList, LabelMode};
use repghost_coco::draw::{draw_objects, of_detections, Style};
use repghost_coco::{read_image, write_detections, Detection, RgbImage, Source};

use crate::config::Experiment;
use crate::detection::infer::{self, Found};
use crate::detection::{data, model, pictures};
use crate::error::TrainError;
use crate::images::{FoundImages, ImageFiles};
use crate::runtime::device;

/// What `predict` is told.
#[derive(Clone, Debug)]
pub struct Request {
    /// Weights, in any form, or a checkpoint.
    pub weights: PathBuf,
    /// Files and folders.
    pub images: Vec<PathBuf>,
    /// Folder for `detections.json` and the pictures.
    pub output: PathBuf,
    /// Detections below are left out, of the file and of the pictures. Unset: the experiment's in the file, and a higher one in the
    /// pictures.
    pub score_threshold: Option<f64>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// Images that were predicted on.
    pub images: usize,
    /// Detections in the file.
    pub detections: usize,
    /// Messages of images that could not be read.
    pub unreadable: Vec<String>,
}

impl Request {
    /// The experiment with the request's threshold in it.
    ///
    /// # Errors
    /// A threshold that is none.
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

/// Predicts, and writes `detections.json` and a picture for each image. `None` when `stop` was raised: nothing is written then.
///
/// # Errors
/// Files that do not fit, a disk that is full.
pub fn predict(
    e: &Experiment,
    request: &Request,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Predicted>, TrainError> {
    let paths = FoundImages::find(&request.images, false)?.paths;
    let e = request.applied(e)?;
    let mut ready = model::ready_for_val(&e, &request.weights)?;
    model::fuse_all(&mut ready.detector);
    let decode = e.data.decode();
    let source: Arc<dyn Source> = Arc::new(ImageFiles::new(paths.clone(), decode.clone()));
    let loader = data::predict_loader(&e, source)?;
    let found = infer::run(&ready.detector, device(&e)?, &loader, &ready.classes, stop, progress)?;
    let Some(found) = found else { return Ok(None) };
    let album = Album::new(request, &paths, &ready.classes)?;
    for f in &found {
        let Some((i, path)) = usize::try_from(f.image_id - 1).ok().and_then(|i| paths.get(i).map(|path| (i, path))) else {
            continue;
        };
        album.draw(i, read_image(path, &decode)?, f)?;
    }
    let detections = album.list(&found)?;
    Ok(Some(Predicted { images: found.len(), detections, unreadable: loader.unreadable() }))
}

/// The output folder: pictures by image, and the list of detections.
pub struct Album {
    folder: PathBuf,
    names: Vec<String>,
    classes: ClassList,
    threshold: f64,
}

impl Album {
    /// Makes the folder.
    ///
    /// # Errors
    /// The disk's.
    pub fn new(request: &Request, paths: &[PathBuf], classes: &[model::Class]) -> Result<Self, TrainError> {
        std::fs::create_dir_all(&request.output).map_err(TrainError::io(&request.output))?;
        let pairs = classes.iter().map(|c| (c.id, c.name.clone()));
        Ok(Self {
            folder: request.output.clone(),
            names: picture_names(paths),
            classes: ClassList::new(pairs, LabelMode::Contiguous).map_err(TrainError::Classes)?,
            threshold: request.score_threshold.unwrap_or(pictures::SHOWN_SCORE),
        })
    }

    /// Draws what was found in image number `i` and writes the picture.
    ///
    /// # Errors
    /// The disk's.
    pub fn draw(&self, i: usize, mut image: RgbImage, found: &Found) -> Result<(), TrainError> {
        let Some(name) = self.names.get(i) else { return Ok(()) };
        let style = Style::for_size(image.width(), image.height());
        draw_objects(&mut image, &of_detections(&found.detections, &self.classes, self.threshold), &style);
        let target = self.folder.join(name);
        image.save(&target).map_err(|e| TrainError::Drawing { path: target, reason: e.to_string() })
    }

    /// Writes `detections.json`; returns how many there are.
    ///
    /// # Errors
    /// The disk's.
    pub fn list(&self, found: &[Found]) -> Result<usize, TrainError> {
        let named = |f: &Found| {
            let name = f.file_name.clone();
            f.detections.iter().map(move |d| Detection { file_name: Some(name.clone()), ..d.clone() }).collect::<Vec<_>>()
        };
        let detections: Vec<Detection> = found.iter().flat_map(named).collect();
        write_detections(&self.folder.join("detections.json"), &detections)?;
        Ok(detections.len())
    }
}

/// `STEM.png` for each image; `STEM_NUMBER.png` where several have one stem.
fn picture_names(paths: &[PathBuf]) -> Vec<String> {
    let stem = |p: &Path| p.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut counts = std::collections::HashMap::new();
    for path in paths {
        *counts.entry(stem(path)).or_insert(0) += 1;
    }
    let name = |(i, path): (usize, &PathBuf)| match counts.get(&stem(path)) {
        Some(1) => format!("{}.png", stem(path)),
        _ => format!("{}_{}.png", stem(path), i + 1),
    };
    paths.iter().enumerate().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_one_name_are_numbered() {
        let paths = ["a/a.png", "a/b.JPG", "a.png"].map(PathBuf::from);
        assert_eq!(picture_names(&paths), ["a_1.png", "b.png", "a_3.png"]);
    }
}
