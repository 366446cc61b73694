//! Measuring a weights file on the experiment's validation folder.

use std::sync::atomic::AtomicBool;

use repghost_backbone::{FuseLevel, Tree};
use repghost_distributed::Group;

use super::{data, infer, model, Accuracy};
use crate::config::data_paths::Split;
use crate::config::Experiment;
use crate::error::TrainError;
use crate::weights_file::WeightsFile;

/// Top-1 and top-5 of a weights file, on all processes of `group`, which share the images. `None` when `stop` was raised.
///
/// # Errors
/// Files that do not fit, data that cannot be read, classes that differ.
pub fn evaluate_weights(
    e: &Experiment,
    weights: WeightsFile,
    group: Option<&Group>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Accuracy>, TrainError> {
    let mut loaded = model::load(e, weights, |count| of_folder(e, count))?;
    let val = data::open(e, Split::Val, Some(&loaded.classes))?;
    loaded.net.fuse(FuseLevel::All);
    let scored = infer::shared(&loaded.net, data::eval_loader(e, val)?, group, stop, progress)?;
    Ok(scored.map(|scored| Accuracy::of(&scored.images, &loaded.classes)))
}

/// The validation folder's classes, for a file that names none. There must be as many.
fn of_folder(e: &Experiment, count: usize) -> Result<Vec<String>, TrainError> {
    let names = data::open(e, Split::Val, None)?.classes().to_vec();
    if names.len() == count {
        return Ok(names);
    }
    Err(TrainError::ClassesMismatch { weights: count, data: names.len(), place: "the validation folder" })
}
