//! Score thresholds in a detector file: it finds what the file without them finds above them, and nothing else.

use repghost_heads::HostDetections;
use repghost_train::engine::Pictures;

use crate::engine::exported::ExportedDetector;
use crate::error::ExportError;
use crate::metadata::Metadata;
use crate::model::Model;
use crate::onnx::Nms;
use crate::parts;
use crate::runtime::REFERENCE;
use crate::spec::{ExportSpec, Part};

/// Detections of one image, with thresholds and without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Those that are above the threshold of their class.
    pub shown: usize,
    /// All.
    pub all: usize,
}

/// Exports a detector without thresholds and with one per class, runs both on an image and compares them bit for bit.
///
/// The thresholds are the median scores of each class, so that about half are hidden; nothing of the last class is shown. `pixels` are those of
/// one image of the size in `spec`.
///
/// # Errors
/// No onnxruntime; a file that shows others than those above the thresholds.
pub fn check(model: &mut Model, spec: &ExportSpec, nms: Nms, pixels: &[f32]) -> Result<Shown, ExportError> {
    let own = std::mem::take(&mut model.cutoffs);
    let all = detect(model, spec, nms, pixels)?;
    let mut cutoffs: Vec<f64> = (0..model.classes.len()).map(|class| median(&all, class as i64)).collect();
    if let Some(last) = cutoffs.last_mut() {
        *last = 1.5;
    }
    let kept: Vec<usize> = (0..all.len()).filter(|&i| all.scores[i] >= cutoffs[all.labels[i] as usize] as f32).collect();
    model.cutoffs = cutoffs;
    let shown = detect(model, spec, nms, pixels)?;
    model.cutoffs = own;
    let of = |d: &HostDetections, i: usize| (d.boxes[i], d.scores[i], d.labels[i]);
    let expected: Vec<_> = kept.iter().map(|&i| of(&all, i)).collect();
    let found: Vec<_> = (0..shown.len()).map(|i| of(&shown, i)).collect();
    if found != expected {
        let message =
            format!("with thresholds the file shows {} detections that are not the {} above them", found.len(), expected.len());
        return Err(ExportError::Runtime { runtime: "gate", message });
    }
    Ok(Shown { shown: kept.len(), all: all.len() })
}

/// Median score of a class; one half where it has no detection.
fn median(all: &HostDetections, class: i64) -> f64 {
    let mut scores: Vec<f32> = (0..all.len()).filter(|&i| all.labels[i] == class).map(|i| all.scores[i]).collect();
    scores.sort_by(f32::total_cmp);
    scores.get(scores.len() / 2).map_or(0.5, |s| f64::from(*s))
}

fn detect(model: &Model, spec: &ExportSpec, nms: Nms, pixels: &[f32]) -> Result<HostDetections, ExportError> {
    let built = parts::build(model, Part::Detector, spec, nms, &Metadata(vec![]))?;
    let mut engine = ExportedDetector::built(&built, None, &model.classes)?.engine(1, REFERENCE)?;
    let pictures = Pictures { pixels, shape: [1, 3, spec.size[0], spec.size[1]], sizes: &[spec.size] };
    let mut found = engine.detect(pictures)?;
    found.pop().ok_or_else(|| ExportError::Runtime { runtime: "gate", message: "no result for the image".into() })
}
