//! Folding a trained network for inference, and measuring what that changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use repghost_backbone::weights::{self, Form, StateDict};
use repghost_backbone::{Eager, FuseLevel, Tree};
use repghost_coco::decode::DecodeConfig;
use repghost_coco::shapes::{ShapesConfig, ShapesSource};
use repghost_coco::{Loader, Source};
use tch::{Device, Kind, Tensor};

use crate::classification;
use crate::config::data_paths::Split;
use crate::config::{Experiment, Task};
use crate::detection::{data, model};
use crate::error::TrainError;
use crate::images::{FoundImages, ImageFiles};
use crate::runtime::device;
use crate::tensors;
use crate::weights_file::WeightsFile;

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
    /// Largest absolute difference over all outputs.
    pub difference: f64,
    /// Largest absolute value there.
    pub largest: f64,
    /// What was compared on.
    pub images: String,
}

/// Folds the weights of a detector or classifier to `level`, compares its outputs (a detector's pyramid, a classifier's logits) before
/// and after on real images (`images`, or the validation data, or built-in pictures), and writes the file.
///
/// # Errors
/// Files that do not fit or are folded already; a difference that is not rounding.
pub fn fuse(
    e: &Experiment,
    weights: WeightsFile,
    images: &[PathBuf],
    level: FuseLevel,
    output: &Path,
) -> Result<Fused, TrainError> {
    let path = weights.path().to_path_buf();
    if e.task == Task::Classification {
        let ready = classification::model::load(e, weights, |count| Ok(classification::model::numbers(count)))?;
        let (source, what) =
            inputs(images, || or_built_in(classification::data::open(e, Split::Val, None).map(|s| s as Arc<dyn Source>)))?;
        let pixels = first_batch(classification::data::eval_loader(e, source)?, device(e)?)?;
        let file = File { weights: &path, form: ready.form, metadata: ready.metadata, images: what };
        return fold(ready.net, file, level, output, |net| vec![net.classify(&mut Eager::eval(), &pixels)]);
    }
    let ready = model::load(e, weights)?;
    let (source, what) = inputs(images, || validation_or_built_in(e))?;
    let pixels = first_batch(data::eval_loader(e, source)?, device(e)?)?;
    let file = File { weights: &path, form: ready.form, metadata: ready.metadata, images: what };
    fold(ready.detector, file, level, output, |d| d.backbone().forward(&mut Eager::eval(), &pixels))
}

fn first_batch(loader: Loader, device: Device) -> Result<Tensor, TrainError> {
    match loader.epoch(0, 0).next() {
        Some(batch) => Ok(tensors::images(&batch?, device).pixels),
        None => Err(TrainError::NoImages { purpose: "to compare on" }),
    }
}

/// What is known about the weights to fold.
struct File<'a> {
    weights: &'a Path,
    form: Form,
    metadata: BTreeMap<String, String>,
    /// What is compared on.
    images: String,
}

fn fold<T: Tree>(
    mut net: T,
    file: File,
    level: FuseLevel,
    output: &Path,
    outputs: impl Fn(&T) -> Vec<Tensor>,
) -> Result<Fused, TrainError> {
    let before = net.named_tensors().len();
    let parameters = net.parameter_count();
    let expected = tch::no_grad(|| outputs(&net));
    net.fuse(level);
    let after = net.named_tensors().len();
    if after == before {
        return Err(TrainError::NothingToFuse { path: file.weights.into(), form: file.form });
    }
    let (difference, largest) = compare(&expected, &tch::no_grad(|| outputs(&net)))?;
    if difference > TOLERANCE * largest.max(1.0) {
        return Err(TrainError::FuseDiffers { difference, largest });
    }
    let mut state = StateDict::of(&net, "");
    state.metadata = file.metadata;
    state.metadata.insert("form".into(), weights::detect_form(&state).to_string());
    weights::write(output, &state)?;
    let parameters = [parameters, net.parameter_count()];
    Ok(Fused { tensors: [before, after], parameters, difference, largest, images: file.images })
}

/// Largest absolute difference and largest absolute value of two runs. Where either run has a value that is NaN or infinite, the difference
/// is infinite: nothing is known about such outputs.
fn compare(before: &[Tensor], after: &[Tensor]) -> Result<(f64, f64), TrainError> {
    let (mut difference, mut largest) = (0f64, 0f64);
    for (a, b) in before.iter().zip(after) {
        let peaks = [peak(&a.f_sub(b)?)?, peak(a)?, peak(b)?];
        let finite = peaks.iter().all(|p| p.is_finite());
        difference = difference.max(if finite { peaks[0] } else { f64::INFINITY });
        largest = largest.max(if finite { peaks[1] } else { 0.0 });
    }
    Ok((difference, largest))
}

fn peak(t: &Tensor) -> Result<f64, TrainError> {
    Ok(f64::try_from(t.f_abs()?.f_max()?.f_to_kind(Kind::Double)?)?)
}

fn inputs(
    images: &[PathBuf],
    otherwise: impl FnOnce() -> (Arc<dyn Source>, &'static str),
) -> Result<(Arc<dyn Source>, String), TrainError> {
    if !images.is_empty() {
        let paths = FoundImages::find(images, false)?.paths;
        let what = format!("{} (first batch)", paths.first().map_or(String::new(), |p| p.display().to_string()));
        return Ok((Arc::new(ImageFiles::new(paths, DecodeConfig::default())), what));
    }
    let (source, what) = otherwise();
    Ok((source, format!("{what} (first batch)")))
}

/// Images to compare on where nobody names some, and what they are: the validation data, or built-in pictures where there is none.
fn validation_or_built_in(e: &Experiment) -> (Arc<dyn Source>, &'static str) {
    or_built_in(data::open(e, Split::Val, None).map(|val| val.source))
}

fn or_built_in(validation: Result<Arc<dyn Source>, TrainError>) -> (Arc<dyn Source>, &'static str) {
    if let Ok(source) = validation {
        return (source, "validation images");
    }
    let source = ShapesSource { seed: 0, first: 0, count: COMPARED, config: ShapesConfig::default(), masks: false };
    (Arc::new(source), "built-in pictures")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `f64::max` passes over NaN, so that two networks of which nothing is known once counted as equal.
    #[test]
    fn outputs_that_are_not_finite_are_no_match() {
        let sound = Tensor::from_slice(&[1f32, -3.0]);
        assert_eq!(compare(&[sound.shallow_clone()], &[&sound + 0.5]).unwrap(), (0.5, 3.0));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let bad = Tensor::from_slice(&[1f32, bad]);
            for (a, b) in [(&bad, &bad), (&sound, &bad), (&bad, &sound)] {
                let first = || sound.shallow_clone();
                let (difference, _) = compare(&[first(), a.shallow_clone()], &[first(), b.shallow_clone()]).unwrap();
                assert_eq!(difference, f64::INFINITY);
            }
        }
    }
}
