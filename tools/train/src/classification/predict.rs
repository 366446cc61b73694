//! Classifying image files.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

use repghost_backbone::{FuseLevel, Tree};
use serde::Serialize;

use super::infer::{ImageScores, Scored};
use super::{data, infer, model};
use crate::config::Experiment;
use crate::error::TrainError;
use crate::images::{FoundImages, ImageFiles};
use crate::predict::PredictOptions;
use crate::run::folder::write_json;
use crate::weights_file::WeightsFile;

/// Classes listed for each image.
const LISTED: usize = 5;

/// One image in `predictions.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prediction {
    /// The file, as it was named or found.
    pub file_name: String,
    /// The most probable class.
    pub class: String,
    /// Its probability.
    pub probability: f64,
    /// The most probable classes, best first.
    pub top: Vec<Guess>,
}

/// A class and its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Guess {
    /// Name of the class.
    pub class: String,
    /// From 0 to 1; those of all classes add up to 1.
    pub probability: f64,
}

/// Predictions of some images.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// One per image.
    pub predictions: Vec<Prediction>,
    /// Messages about images that could not be read.
    pub unreadable: Vec<String>,
    /// What was passed over in folders, in words.
    pub passed_over: Option<String>,
    /// Images that were turned upright by their EXIF orientation.
    pub turned: usize,
}

/// Predicts on files and folders, and writes `predictions.json` into a folder. `None` when `stop` was raised: nothing is written then.
///
/// # Errors
/// Files that do not fit, a disk that is full.
pub fn predict(
    e: &Experiment,
    weights: WeightsFile,
    options: &PredictOptions,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Predicted>, TrainError> {
    let found = FoundImages::find(&options.images, options.recursive)?;
    let passed_over = found.passed_over();
    options.agree_on(&found.paths)?;
    let (paths, output) = (found.paths, &options.output);
    let mut ready = model::load(e, weights, |count| {
        Ok(e.data.classes.clone().filter(|c| c.len() == count).unwrap_or(model::numbers(count)))
    })?;
    ready.net.fuse(FuseLevel::All);
    let images = Arc::new(ImageFiles::new(paths.clone(), options.decode()));
    let loader = data::predict_loader(e, images.clone())?;
    let Some(Scored { images: scored, unreadable }) = infer::shared(&ready.net, loader, options.group.as_ref(), stop, progress)?
    else {
        return Ok(None);
    };
    let predictions: Vec<Prediction> = scored.iter().map(|s| prediction(s, &paths, &ready.classes)).collect();
    if options.writes() {
        std::fs::create_dir_all(output).map_err(TrainError::io(output))?;
        write_json(&output.join("predictions.json"), &predictions)?;
    }
    Ok(Some(Predicted { predictions, unreadable, passed_over, turned: options.sum(images.turned())? }))
}

fn prediction(scored: &ImageScores, paths: &[PathBuf], classes: &[String]) -> Prediction {
    let guess = |i: usize| Guess {
        class: classes.get(i).cloned().unwrap_or_else(|| i.to_string()),
        probability: scored.probabilities.get(i).copied().map_or(f64::NAN, f64::from),
    };
    let top: Vec<Guess> = scored.top(LISTED).into_iter().map(guess).collect();
    // `ImageFiles` counts from 1.
    let path = usize::try_from(scored.image_id - 1).ok().and_then(|i| paths.get(i));
    Prediction {
        file_name: path.map_or(scored.file_name.clone(), |p| p.display().to_string()),
        class: top.first().map_or(String::new(), |g| g.class.clone()),
        probability: top.first().map_or(f64::NAN, |g| g.probability),
        top,
    }
}
