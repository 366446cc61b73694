//! What each part is compared with.
//!
//! Networks are compared with libtorch's output by output. A detector file is compared in two steps: its networks as above, and its detections
//! with what the model's own post-processing makes of those networks' outputs in the same precision. So half precision may move a score, but
//! not hide a graph that suppresses wrongly.

use repghost_backbone::region::over_images;
use repghost_backbone::synthetic::input;
use repghost_backbone::Eager;
use repghost_heads::{HostDetections, Stage};
use repghost_train::engine::Pictures;
use tch::{Kind, Tensor};

use super::detections::{self, Agreement, Tolerance};
use super::inputs::Input;
use super::report::{compare, Comparison, ParityReport};
use crate::engine::exported::ExportedDetector;
use crate::error::ExportError;
use crate::metadata::Metadata;
use crate::model::Model;
use crate::onnx::{ElementType, Nms};
use crate::parts::{self, Built};
use crate::runtime::{NamedOutput, Settings, REFERENCE};
use crate::spec::{encode, ExportSpec, Part};

/// Difference, relative to an output's largest value, that files may have.
pub fn tolerance(precision: ElementType) -> f64 {
    match precision {
        ElementType::F16 => 2e-2,
        _ => 1e-4,
    }
}

/// Regions that the second stage's files are checked on.
const REGIONS: i64 = 5;

/// An export, and what it is run on.
#[derive(Clone, Copy)]
pub struct ParityCheck<'a> {
    /// What was exported.
    pub model: &'a Model,
    /// Which part of it.
    pub part: Part,
    /// The files.
    pub built: &'a Built,
    /// As what it was exported.
    pub spec: &'a ExportSpec,
    /// Images.
    pub inputs: &'a [Input],
}

impl ParityCheck<'_> {
    /// Runs the files on all inputs.
    ///
    /// # Errors
    /// No onnxruntime; a file that it refuses; differences beyond tolerance.
    pub fn check(&self) -> Result<ParityReport, ExportError> {
        let report = self.compare(true)?;
        if self.part == Part::Detector {
            report.detections().check(&Tolerance::of(self.spec.precision))?;
        }
        report.within(tolerance(self.spec.precision))?;
        Ok(report)
    }

    /// As [`ParityCheck::check`], but nothing is refused: how far an int8 file is from the model.
    ///
    /// # Errors
    /// No onnxruntime; a file that it refuses.
    pub fn measure(&self) -> Result<ParityReport, ExportError> {
        self.compare(false)
    }

    /// Runs the files. Of a detector, the networks of which it is made are compared only where `inside` is set.
    fn compare(&self, inside: bool) -> Result<ParityReport, ExportError> {
        let mut report = ParityReport::default();
        if self.part != Part::Detector {
            networks(self.model, self.part, self.built, self.inputs, &mut report)?;
            return Ok(report);
        }
        let raw = parts::build(self.model, Part::Raw, self.spec, Nms::PLAIN, &Metadata(vec![]))?;
        if inside {
            networks(self.model, Part::Raw, &raw, self.inputs, &mut report)?;
        }
        self.detect(&raw, &mut report)?;
        Ok(report)
    }

    fn detect(&self, raw: &Built, report: &mut ParityReport) -> Result<(), ExportError> {
        let engine = |built, decoder| ExportedDetector::built(built, decoder, &self.model.classes)?.engine(threads(), REFERENCE);
        let mut expected = engine(raw, self.model.network.decoder())?;
        let mut file = engine(self.built, None)?;
        let tolerance = Tolerance::of(self.spec.precision);
        for input in self.inputs {
            let pictures = Pictures { pixels: &input.pixels, shape: input.shape, sizes: &input.sizes };
            // A detector file has no input for padding: it clips boxes to its input size.
            let whole = vec![self.spec.size; input.sizes.len()];
            let pictures = Pictures { sizes: &whole, ..pictures };
            let shown = |all: Vec<HostDetections>| -> Vec<HostDetections> {
                all.iter().map(|d| shown(d, &self.model.cutoffs, f64::from(tolerance.score))).collect()
            };
            let (expected, found) = (shown(expected.detect(pictures)?), shown(file.detect(pictures)?));
            let each = expected.iter().zip(&found).map(|(m, f)| detections::compare(m, f, &tolerance));
            let agreement = each.fold(Agreement::default(), Agreement::and);
            report.comparisons.push(Comparison::Detections { input: input.name.clone(), agreement });
        }
        Ok(())
    }
}

/// Detections that are above their class's cutoff by more than rounding; all where there are no cutoffs.
fn shown(all: &HostDetections, cutoffs: &[f64], rounding: f64) -> HostDetections {
    if cutoffs.is_empty() {
        return all.clone();
    }
    let least = |label: i64| usize::try_from(label).ok().and_then(|l| cutoffs.get(l)).copied().unwrap_or(0.0);
    let kept: Vec<usize> = (0..all.len()).filter(|&i| f64::from(all.scores[i]) > least(all.labels[i]) + rounding).collect();
    let side = all.masks.as_ref().map_or(0, |m| m.len() / all.len().max(1));
    HostDetections {
        boxes: kept.iter().map(|&i| all.boxes[i]).collect(),
        scores: kept.iter().map(|&i| all.scores[i]).collect(),
        labels: kept.iter().map(|&i| all.labels[i]).collect(),
        masks: all.masks.as_ref().map(|m| kept.iter().flat_map(|&i| m[i * side..(i + 1) * side].iter().copied()).collect()),
    }
}

/// A tensor as an output.
///
/// # Errors
/// When libtorch fails.
pub fn named(name: impl Into<String>, t: &Tensor) -> Result<NamedOutput, ExportError> {
    let data = Vec::try_from(t.f_to_kind(Kind::Float)?.f_reshape([-1])?)?;
    Ok(NamedOutput { name: name.into(), shape: t.size(), data })
}

/// Threads of the gate's own runs.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Compares the networks' files, one per stage, with libtorch: on the inputs, or on synthetic regions.
fn networks(model: &Model, part: Part, built: &Built, inputs: &[Input], report: &mut ParityReport) -> Result<(), ExportError> {
    for (stage, file) in model.network.stages().iter().zip(&built.files) {
        let mut session = REFERENCE.open(&encode(&file.model), Settings::threads(threads()))?;
        for input in stage_inputs(stage, inputs)? {
            let run = || expected(model, part, stage, &input.tensor());
            // A detector's file averages over the images alone.
            let expected = match (part, input.shape) {
                (Part::Raw, [_, _, h, w]) if stage.regions().is_none() => over_images([h, w], &input.sizes, run),
                _ => run(),
            }?;
            report.add(&input.name, compare(&expected, &session.outputs(&input.shape, &input.pixels)?)?);
        }
    }
    Ok(())
}

/// What a stage is checked on: the inputs, or regions by rule.
///
/// # Errors
/// When libtorch fails.
pub fn stage_inputs(stage: &Stage, inputs: &[Input]) -> Result<Vec<Input>, ExportError> {
    let Some(regions) = stage.regions() else { return Ok(inputs.to_vec()) };
    let shape = regions.of(REGIONS);
    let pixels = Vec::try_from(input("regions", &shape).f_reshape([-1])?)?;
    Ok(vec![Input { name: format!("{REGIONS} regions"), pixels, shape, sizes: vec![] }])
}

/// What libtorch gives for the outputs of a stage's file.
///
/// # Errors
/// When libtorch fails.
pub fn expected(model: &Model, part: Part, stage: &Stage, x: &Tensor) -> Result<Vec<NamedOutput>, ExportError> {
    let outputs = model.network.run_stage(part, stage, &mut Eager::eval(), x);
    outputs.iter().map(|(name, t)| named(name, t)).collect()
}
