//! Quantization to int8, and what that costs (accuracy) and saves (time), side by side: fused networks can lose much, since folding widens the
//! ranges of their weights.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use repghost_train::detection::model as experiment;
use repghost_train::evaluate::Measured;
use repghost_train::Experiment;

use crate::calibrate::{calibrated, speeds};
use crate::engine::exported::ExportedDetector;
use crate::engine_pool::EnginePool;
use crate::error::ExportError;
use crate::model::Model;
use crate::onnx::ElementType;
use crate::parity::inputs::{source, Input};
use crate::parity::{ParityCheck, ParityReport};
use crate::parts::{Built, File};
use crate::score;
use crate::spec::{BatchSize, ExportSpec, Part};

/// Files whose main graph is quantized.
#[derive(Debug)]
pub struct Quantized {
    /// The files.
    pub built: Built,
    /// Differences from the model.
    pub parity: ParityReport,
    /// Lines to print: images used, times, change of AP.
    pub notes: Vec<String>,
}

/// Quantizes the main file of `built`, with ranges from `count` of the `images` (or of the validation data, or of built-in pictures).
///
/// # Errors
/// A fixed batch other than 1; images that cannot be read.
pub fn quantize(
    e: &Experiment,
    model: &Model,
    part: Part,
    spec: &ExportSpec,
    built: Built,
    inputs: &[Input],
    (images, count): (&[PathBuf], usize),
) -> Result<Quantized, ExportError> {
    if !matches!(spec.batch, BatchSize::Fixed(1) | BatchSize::Dynamic) || spec.precision != ElementType::F32 || count == 0 {
        let why = "--precision int8 takes --batch 1 or dynamic, and at least one calibration image";
        return Err(ExportError::Arguments(why.into()));
    }
    let (pictures, what) = source(e, images)?;
    let used = count.min(pictures.len());
    let mut quantized = built.clone();
    let (Some(float), Some(main)) = (built.files.first(), quantized.files.first_mut()) else {
        return Err(ExportError::Arguments("there is nothing to quantize".into()));
    };
    *main = File { suffix: "", model: calibrated(&float.model, pictures.as_ref(), used, spec.size)? };
    let parity = ParityCheck { experiment: e, model, part, built: &quantized, spec, inputs }.measure()?;
    let mut notes = vec![format!("ranges from {used} {what}")];
    if let Some(input) = inputs.iter().find(|i| i.shape[0] == 1) {
        let [before, after] = speeds([&float.model, &quantized.files[0].model], input.shape, &input.pixels)?;
        notes.push(format!(
            "onnxruntime, one thread: {before:.2} ms in floats, {after:.2} ms in eight bits ({:.2}x)",
            before / after
        ));
    }
    if matches!(part, Part::Raw | Part::Detector) {
        match (measure(e, model, part, &built)?, measure(e, model, part, &quantized)?) {
            (Some(a), Some(b)) => notes.extend(changes(&a, &b)),
            _ => notes.push("no validation data: the change of AP was not measured".into()),
        }
    }
    Ok(Quantized { built: quantized, parity, notes })
}

/// The COCO numbers of files in memory; none where the experiment has no validation data at hand.
fn measure(e: &Experiment, model: &Model, part: Part, built: &Built) -> Result<Option<Measured>, ExportError> {
    if repghost_train::detection::data::open(e, repghost_train::config::Split::Val, None).is_err() {
        return Ok(None);
    }
    let host = match part {
        Part::Raw => Some(experiment::build(e, model.classes.len())?),
        _ => None,
    };
    let pool = EnginePool::opened(ExportedDetector::built(built, part, host, &model.classes)?);
    score::measure(e, &pool, &AtomicBool::new(false), &mut |_, _| ())
}

fn changes(floats: &Measured, int8: &Measured) -> Vec<String> {
    let pairs = floats.evaluations.iter().zip(&int8.evaluations);
    pairs
        .map(|(a, b)| {
            let (x, y) = (a.numbers.ap, b.numbers.ap);
            format!("{} AP {x:.4} in floats, {y:.4} in eight bits ({:+.4})", a.iou_type.name(), y - x)
        })
        .collect()
}
