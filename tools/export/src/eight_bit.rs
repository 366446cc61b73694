//! An export to eight bits, and what that costs (accuracy) and saves (time), side by side: fused networks can lose much, since folding widens the
//! ranges of their weights, so nobody should have to guess.

use std::sync::atomic::AtomicBool;

use repghost_train::detection::model as experiment;
use repghost_train::evaluate::Measured;
use repghost_train::Experiment;

use crate::calibrate::{calibrated, speeds};
use crate::engine::open::Opened;
use crate::error::ExportError;
use crate::export::{BatchSize, ExportSpec};
use crate::gate::inputs::{source, Input};
use crate::gate::run::Subject;
use crate::model::Model;
use crate::onnx::Element;
use crate::parts::{Built, File};
use crate::request::{keep, Exported, Part, Request};
use crate::score;
use crate::supply::Supply;

/// Quantizes the main file of `built` and writes it.
///
/// # Errors
/// A fixed batch other than 1; images that cannot be read.
pub fn export(
    e: &Experiment,
    model: &Model,
    request: &Request,
    spec: &ExportSpec,
    built: Built,
    inputs: &[Input],
    images: usize,
) -> Result<Exported, ExportError> {
    if !matches!(spec.batch, BatchSize::Fixed(1) | BatchSize::Dynamic) || spec.precision != Element::F32 || images == 0 {
        let why = "--precision int8 takes --batch 1 or dynamic, and at least one calibration image";
        return Err(ExportError::Arguments(why.into()));
    }
    let (pictures, what) = source(e, &request.images)?;
    let used = images.min(pictures.len());
    let mut files = built.files.into_iter();
    let Some(float) = files.next() else { return Err(ExportError::Arguments("there is nothing to quantize".into())) };
    let small = calibrated(&float.model, pictures.as_ref(), used, spec.size)?;
    let eight = Built { files: [File { suffix: "", model: small }].into_iter().chain(files).collect(), sidecar: built.sidecar };
    let checked = Subject { experiment: e, model, part: request.part, built: &eight, spec, inputs }.measure()?;
    let mut notes = vec![format!("ranges from {used} {what}")];
    let main = &eight.files[0].model;
    if let Some(input) = inputs.iter().find(|i| i.shape[0] == 1) {
        let [before, after] = speeds([&float.model, main], input.shape, &input.pixels)?;
        notes.push(format!(
            "onnxruntime, one thread: {before:.2} ms in floats, {after:.2} ms in eight bits ({:.2}x)",
            before / after
        ));
    }
    if matches!(request.part, Part::Raw | Part::Detector) {
        let floats = Built { files: [float].into_iter().chain(rest(&eight)).collect(), sidecar: None };
        match (measure(e, model, request, &floats)?, measure(e, model, request, &eight)?) {
            (Some(a), Some(b)) => notes.extend(changes(&a, &b)),
            _ => notes.push("no validation data: the change of AP was not measured".into()),
        }
    }
    let nodes = eight.files.iter().map(|f| f.model.graph.as_ref().map_or(0, |g| g.node.len())).sum();
    Ok(Exported { files: keep(&eight, &request.output)?, nodes, checked, notes })
}

fn rest(built: &Built) -> Vec<File> {
    built.files.iter().skip(1).map(|f| File { suffix: f.suffix, model: f.model.clone() }).collect()
}

/// The COCO numbers of files in memory; none where the experiment has no validation data at hand.
fn measure(e: &Experiment, model: &Model, request: &Request, built: &Built) -> Result<Option<Measured>, ExportError> {
    if repghost_train::detection::data::open(e, repghost_train::config::Split::Val, None).is_err() {
        return Ok(None);
    }
    let host = match request.part {
        Part::Raw => Some(experiment::build(e, model.classes.len())?),
        _ => None,
    };
    let supply = Supply::opened(Opened::built(built, request.part, host, &model.classes));
    score::measure(e, &supply, &AtomicBool::new(false), &mut |_, _| ())
}

fn changes(floats: &Measured, eight: &Measured) -> Vec<String> {
    let pairs = floats.evaluations.iter().zip(&eight.evaluations);
    pairs
        .map(|(a, b)| {
            let (x, y) = (a.numbers.ap, b.numbers.ap);
            format!("{} AP {x:.4} in floats, {y:.4} in eight bits ({:+.4})", a.iou_type.name(), y - x)
        })
        .collect()
}
