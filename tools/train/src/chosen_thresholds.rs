//! Score thresholds that `eval --choose` wrote into a run folder, applied to what its weights find.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use repghost_coco::judge::Thresholds;
use repghost_coco::Detection;

use crate::error::TrainError;
use crate::model::Class;

/// The file's name.
pub const FILE: &str = "thresholds.json";

/// The thresholds file of a weights file `RUN/weights/NAME.safetensors`; `None` for files elsewhere.
pub fn file_of(weights: &Path) -> Option<PathBuf> {
    let folder = weights.parent()?;
    let run = folder.parent().filter(|_| folder.file_name().is_some_and(|name| name == "weights"))?;
    Some(run.join(FILE))
}

/// The thresholds that were chosen for a weights file, and a note where there are some for other weights of the run only.
///
/// # Errors
/// A file that is none of thresholds.
pub fn read(weights: &Path) -> Result<(Option<Thresholds>, Option<String>), TrainError> {
    let Some(path) = file_of(weights) else { return Ok((None, None)) };
    if !path.exists() {
        return Ok((None, None));
    }
    let problem = |reason| TrainError::Thresholds { path: path.clone(), reason };
    let thresholds = Thresholds::read(&path).map_err(problem)?;
    let name = weights.file_name().unwrap_or_default().to_string_lossy();
    if thresholds.weights == name {
        return Ok((Some(thresholds), None));
    }
    let note = format!("{}: chosen for {}, so it is not applied to {name}", path.display(), thresholds.weights);
    Ok((None, Some(note)))
}

/// Thresholds by category id.
#[derive(Clone, Debug, Default)]
pub struct Cutoffs(HashMap<i64, f64>);

impl Cutoffs {
    /// For the classes of a detector.
    pub fn new(thresholds: &Thresholds, classes: &[Class]) -> Self {
        Self(classes.iter().map(|class| (class.id, thresholds.of(&class.name))).collect())
    }

    /// Whether a detection is shown.
    pub fn keep(&self, detection: &Detection) -> bool {
        self.0.get(&detection.category_id).is_none_or(|threshold| detection.score >= *threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_belong_to_one_weights_file() {
        let dir = tempfile::tempdir().unwrap();
        let weights = dir.path().join("weights/best.safetensors");
        assert!(file_of(Path::new("best.safetensors")).is_none());
        assert!(matches!(read(&weights), Ok((None, None))));
        let chosen = |threshold: f64| serde_json::json!({"threshold": threshold, "low": 0.1, "high": 0.9, "precision": 1.0, "recall": 1.0, "f1": 1.0});
        let json = serde_json::json!({
            "goal": "f1", "annotations": "val.json", "weights": "best.safetensors", "images": 3, "shared": chosen(0.5),
            "classes": [{"category_id": 4, "name": "ant", "objects": 20, "chosen": chosen(0.25)}],
        });
        std::fs::write(dir.path().join(FILE), json.to_string()).unwrap();
        let thresholds = read(&weights).unwrap().0.unwrap();
        let classes = [(4, "ant"), (7, "bee")].map(|(id, name)| Class { id, name: name.into() });
        let cutoffs = Cutoffs::new(&thresholds, &classes);
        let found =
            |category_id, score| Detection { image_id: 1, file_name: None, category_id, bbox: None, score, segmentation: None };
        let kept = [(4, 0.25), (4, 0.24), (7, 0.5), (7, 0.49)].map(|(id, score)| cutoffs.keep(&found(id, score)));
        assert_eq!(kept, [true, false, true, false]);
        let (none, note) = read(&dir.path().join("weights/last.safetensors")).unwrap();
        assert!(none.is_none() && note.unwrap().contains("chosen for best.safetensors"));
        std::fs::write(dir.path().join(FILE), "{}").unwrap();
        assert!(read(&weights).unwrap_err().to_string().contains("thresholds.json"));
    }
}
