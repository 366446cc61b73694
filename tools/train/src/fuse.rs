//! Folding a trained detector for inference, and measuring what that changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use repghost_backbone::weights::{self, StateDict};
use repghost_backbone::{Eager, FuseLevel, Tree};
use repghost_coco::decode::DecodeConfig;
use repghost_coco::shapes::{ShapesConfig, ShapesSource};
use repghost_coco::Source;
use tch::{Kind, Tensor};

use crate::config::needs::Split;
use crate::config::Experiment;
use crate::detection::{data, model, tensors};
use crate::error::TrainError;
use crate::predict::{find_images, Files};

/// Images compared where none are named.
const COMPARED: usize = 4;
/// A larger share of the largest value than this is no rounding.
const TOLERANCE: f64 = 1e-4;

/// What folding changed.
#[derive(Clone, Debug)]
pub struct Fused {
    /// Tensors before and after.
    pub tensors: [usize; 2],
    /// Parameters before and after.
    pub parameters: [i64; 2],
    /// Largest absolute difference over all pyramid levels.
    pub difference: f64,
    /// Largest absolute value there.
    pub largest: f64,
    /// What was compared on.
    pub images: String,
}

/// Folds the weights to `level`, compares the pyramid before and after on real images (`images`, or the validation data, or built-in
/// pictures), and writes the file.
///
/// # Errors
/// Files that do not fit or are folded already; a difference that is not rounding.
pub fn fuse(e: &Experiment, weights: &Path, images: &[PathBuf], level: FuseLevel, output: &Path) -> Result<Fused, TrainError> {
    let mut ready = model::ready_for_val(e, weights)?;
    let before = ready.detector.named_tensors().len();
    let parameters = ready.detector.parameter_count();
    let (source, what) = inputs(e, images)?;
    let batch = data::eval_loader(e, source)?.epoch(0, 0).next();
    let Some(batch) = batch.transpose()? else {
        return Err(TrainError::Config("there is no image to compare on".into()));
    };
    let pixels = tensors::images(&batch, model::device()).pixels;
    let pyramid = |d: &repghost_heads::Detector| tch::no_grad(|| d.backbone().forward(&mut Eager::eval(), &pixels));
    let expected = pyramid(&ready.detector);
    ready.detector.fuse(level);
    let after = ready.detector.named_tensors().len();
    if after == before {
        return Err(TrainError::Config(format!(
            "{}: nothing to fold, the weights are in {} form",
            weights.display(),
            ready.form
        )));
    }
    let (mut difference, mut largest) = (0f64, 0f64);
    for (a, b) in expected.iter().zip(&pyramid(&ready.detector)) {
        difference = difference.max(peak(&a.f_sub(b)?)?);
        largest = largest.max(peak(a)?);
    }
    if difference.is_nan() || difference > TOLERANCE * largest.max(1.0) {
        return Err(TrainError::NotFinite(format!(
            "folding changed the feature maps by {difference:.3e} (their largest value is {largest:.3e}): that is no rounding, so \
             nothing was written; are the batch norms' running variances sound?"
        )));
    }
    let mut state = StateDict::of(&ready.detector, "");
    state.metadata = ready.metadata;
    state.metadata.insert("form".into(), weights::detect_form(&state).to_string());
    weights::write(output, &state)?;
    let parameters = [parameters, ready.detector.parameter_count()];
    Ok(Fused { tensors: [before, after], parameters, difference, largest, images: what })
}

fn peak(t: &Tensor) -> Result<f64, TrainError> {
    Ok(f64::try_from(t.f_abs()?.f_max()?.f_to_kind(Kind::Double)?)?)
}

fn inputs(e: &Experiment, images: &[PathBuf]) -> Result<(Arc<dyn Source>, String), TrainError> {
    if !images.is_empty() {
        let paths = find_images(images)?;
        let what = format!("{} (first batch)", paths.first().map_or(String::new(), |p| p.display().to_string()));
        return Ok((Arc::new(Files::new(paths, DecodeConfig::default())), what));
    }
    let (source, what) = validation_or_built_in(e);
    Ok((source, format!("{what} (first batch)")))
}

/// Images to compare on where nobody names some, and what they are: the validation data, or built-in pictures where there is none.
pub fn validation_or_built_in(e: &Experiment) -> (Arc<dyn Source>, &'static str) {
    if let Ok(val) = data::open(e, Split::Val, None) {
        return (val.source, "validation images");
    }
    let source = ShapesSource { seed: 0, first: 0, count: COMPARED, config: ShapesConfig::default(), masks: false };
    (Arc::new(source), "built-in pictures")
}
