//! Runs, or files of detections, compared on the images that both were measured on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use repghost_coco::judge::{compare, CompareOptions, Comparison};
use repghost_coco::{read_detections, Dataset, DatasetOptions, Detection, IouType};

use crate::config::data_paths::Split;
use crate::config::{Loaded, Task};
use crate::detection::data;
use crate::detection::model::{keys, Class};
use crate::error::{RunFolderProblem, TrainError};
use crate::run::RunFolder;

/// What is compared, and how.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Run folders or files of detections of the first side: one, or one per seed.
    pub a: Vec<PathBuf>,
    /// Those of the second side.
    pub b: Vec<PathBuf>,
    /// The ground truth; without it the validation data of the first run folder.
    pub annotations: Option<PathBuf>,
    /// Boxes or masks; without it masks where the runs learn them.
    pub iou_type: Option<IouType>,
    /// Bootstrap samples.
    pub samples: usize,
}

/// Compares two sides.
///
/// # Errors
/// Folders without detections, detections of other images, no ground truth.
pub fn run(request: &Request) -> Result<Comparison, TrainError> {
    let (truth, masks) = truth(request)?;
    let side = |paths: &[PathBuf]| -> Result<Vec<Vec<Detection>>, TrainError> {
        paths.iter().map(|path| Ok(read_detections(&detections_file(path)?, &truth)?)).collect()
    };
    let (a, b) = (side(&request.a)?, side(&request.b)?);
    let iou_type = request.iou_type.unwrap_or(if masks { IouType::Segm } else { IouType::Bbox });
    let options = CompareOptions { iou_type, samples: request.samples };
    Ok(compare(&truth, &slices(&a), &slices(&b), &options)?)
}

fn slices(runs: &[Vec<Detection>]) -> Vec<&[Detection]> {
    runs.iter().map(Vec::as_slice).collect()
}

/// The detections of a run folder's last evaluation, or the file itself.
fn detections_file(path: &Path) -> Result<PathBuf, TrainError> {
    if !path.is_dir() {
        return Ok(path.into());
    }
    let file = RunFolder::at(path).detections();
    match file.is_file() {
        true => Ok(file),
        false => Err(TrainError::RunFolder { path: path.into(), problem: RunFolderProblem::NoDetections }),
    }
}

/// The ground truth, and whether masks are learned.
fn truth(request: &Request) -> Result<(Arc<Dataset>, bool), TrainError> {
    if let Some(annotations) = &request.annotations {
        let segmentations = request.iou_type == Some(IouType::Segm);
        let options = DatasetOptions { segmentations, ..DatasetOptions::default() };
        return Ok((Arc::new(Dataset::load(annotations, &options)?), false));
    }
    let Some(run) = request.a.iter().chain(&request.b).find(|path| path.is_dir()) else {
        let problem = "files of detections need the ground truth that they were measured on".into();
        return Err(TrainError::Argument { field: "annotations", problem });
    };
    validation_data(&RunFolder::at(run))
}

/// The data that a run was measured on, and whether it learned masks.
///
/// # Errors
/// No run of a detector; data that is not there.
pub fn validation_data(folder: &RunFolder) -> Result<(Arc<Dataset>, bool), TrainError> {
    let loaded = Loaded::read(&folder.config(), &[])?;
    let e = &loaded.experiment;
    if e.task != Task::Detection {
        return Err(TrainError::RunFolder { path: folder.root().into(), problem: RunFolderProblem::NoDetections });
    }
    let val = data::open(e, Split::Val, class_names(folder, &loaded).as_deref())?;
    Ok((val.dataset, data::wants_masks(e)))
}

/// The classes that a run learned, by its weights; the experiment's where there are no weights.
pub fn class_names(folder: &RunFolder, loaded: &Loaded) -> Option<Vec<String>> {
    let path = ["last", "best"].map(|name| folder.weights_file(name)).into_iter().find(|p| p.is_file());
    let state = path.and_then(|p| repghost_backbone::weights::read(p).ok());
    let classes = state.and_then(|s| serde_json::from_str::<Vec<Class>>(s.metadata.get(keys::CLASSES)?).ok());
    let names = classes.map(|classes| classes.into_iter().map(|c| c.name).collect());
    names.or_else(|| loaded.experiment.data.classes.clone())
}
