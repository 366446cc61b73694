//! Weights to start from: what fits is loaded, layers that count classes are made anew, anything else that does not fit is an error.

use std::path::Path;

use repghost_backbone::weights::{self, detect_form, load, Form, LoadReport, StateDict, Strictness, WeightsError};
use repghost_backbone::Tree;

use crate::checkpoint::file::inference_weights;
use crate::error::TrainError;

/// Reads weights that a run may start from: a state dict, a training checkpoint (of ours, or as timm and the authors write them), in
/// training form.
///
/// # Errors
/// Files that are damaged or folded.
pub fn read(path: &Path) -> Result<StateDict, TrainError> {
    let state = inference_weights(weights::read(path)?);
    match detect_form(&state) {
        Form::Train => Ok(state),
        form => Err(TrainError::FusedWeights { path: path.into(), form }),
    }
}

/// Loads the tensors of `state` below `prefix` into `tree`. Tensors of the `class_layers` (paths of modules whose size is the number of
/// classes) may have other shapes, or be missing: they keep their initial values. Returns a line for people, which names them.
///
/// # Errors
/// [`WeightsError::Fit`] with the whole listing, where anything else is missing or of another shape. The network is not to be used then.
pub fn load_all_but_classes(
    tree: &dyn Tree,
    prefix: &str,
    state: &StateDict,
    class_layers: &[String],
) -> Result<String, TrainError> {
    let report = load(tree, prefix, state, Strictness::Partial)?;
    let counts_classes = |name: &str| {
        let name = name.strip_prefix(prefix).unwrap_or(name);
        class_layers.iter().any(|layer| name.strip_prefix(layer.as_str()).is_some_and(|rest| rest.starts_with('.')))
    };
    let strays = report.missing.iter().chain(report.shape_mismatch.iter().map(|m| &m.name)).any(|name| !counts_classes(name));
    if strays || report.loaded.is_empty() {
        return Err(WeightsError::Fit(Box::new(report)).into());
    }
    Ok(summary(&report, class_layers))
}

/// `loaded 300 tensors; made anew, as the number of classes differs: fc.weight (model [3, 512], file [1000, 512]), …`.
fn summary(report: &LoadReport, class_layers: &[String]) -> String {
    let mut text = format!("loaded {} tensors", report.loaded.len());
    if !report.shape_mismatch.is_empty() {
        let layers = report.shape_mismatch.iter().map(|m| format!("{} (model {}, file {})", m.name, m.expected, m.found));
        text.push_str(&format!("; made anew, as the number of classes differs: {}", layers.collect::<Vec<_>>().join(", ")));
    }
    if !report.missing.is_empty() {
        text.push_str(&format!("; made anew, as the file has none: {}", class_layers.join(", ")));
    }
    let unused: Vec<&str> = report.unexpected.iter().chain(&report.dropped).map(String::as_str).collect();
    if !unused.is_empty() {
        const SHOWN: usize = 6;
        let shown = unused[..unused.len().min(SHOWN)].join(", ");
        let more = if unused.len() > SHOWN { ", …" } else { "" };
        text.push_str(&format!("; {} of the file were not needed ({shown}{more})", unused.len()));
    }
    text
}
