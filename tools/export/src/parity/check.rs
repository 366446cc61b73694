//! What each part is compared with.
//!
//! Networks are compared with libtorch's output by output. A detector file is compared in two steps: its networks as above, and its detections
//! with what the model's own post-processing makes of those networks' outputs in the same precision. So half precision may move a score, but
//! not hide a graph that suppresses wrongly.

use repghost_backbone::{fill, Eager};
use repghost_heads::mask_rcnn::MaskRcnn;
use repghost_heads::Detector;
use repghost_train::detection::model;
use repghost_train::Experiment;
use tch::{Kind, Tensor};

use super::detections::{self, Agreement, Tolerance};
use super::inputs::Input;
use super::report::{compare, Comparison, ParityReport};
use crate::engine::exported::ExportedDetector;
use crate::engine::Pictures;
use crate::error::ExportError;
use crate::metadata::Metadata;
use crate::model::{Model, Network};
use crate::onnx::{ElementType, Nms};
use crate::parts::mask_rcnn::{BOXES, MASKS};
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
    /// The experiment that the model was built from.
    pub experiment: &'a Experiment,
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

    /// As [`ParityCheck::check`], but nothing is refused: how far an eight-bit file is from the model.
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
        let raw = parts::build(self.model, Part::Raw, self.spec, Nms::Plain, &Metadata(vec![]))?;
        if inside {
            networks(self.model, Part::Raw, &raw, self.inputs, &mut report)?;
        }
        self.detect(&raw, &mut report)?;
        Ok(report)
    }

    fn detect(&self, raw: &Built, report: &mut ParityReport) -> Result<(), ExportError> {
        let host = model::build(self.experiment, self.model.classes.len())?;
        let mut expected =
            ExportedDetector::built(raw, Part::Raw, Some(host), &self.model.classes)?.engine(threads(), REFERENCE)?;
        let mut file =
            ExportedDetector::built(self.built, Part::Detector, None, &self.model.classes)?.engine(threads(), REFERENCE)?;
        let tolerance = Tolerance::of(self.spec.precision);
        for input in self.inputs {
            let pictures = Pictures { pixels: &input.pixels, shape: input.shape, sizes: &input.sizes };
            // A detector file knows no padding: it cuts boxes to its input.
            let whole = vec![self.spec.size; input.sizes.len()];
            let pictures = Pictures { sizes: &whole, ..pictures };
            let (expected, found) = (expected.detect(pictures)?, file.detect(pictures)?);
            let each = expected.iter().zip(&found).map(|(m, f)| detections::compare(m, f, &tolerance));
            let agreement = each.fold(Agreement::default(), Agreement::and);
            report.comparisons.push(Comparison::Detections { input: input.name.clone(), agreement });
        }
        Ok(())
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

fn networks(model: &Model, part: Part, built: &Built, inputs: &[Input], report: &mut ParityReport) -> Result<(), ExportError> {
    let Some(main) = built.files.first() else { return Ok(()) };
    let mut file = REFERENCE.open(&encode(&main.model), Settings::threads(threads()))?;
    for input in inputs {
        let expected = expected(model, part, &input.tensor())?;
        report.add(&input.name, compare(&expected, &file.outputs(&input.shape, &input.pixels)?)?);
    }
    if let Network::Detector(d) = &model.network {
        if let Detector::MaskRcnn(net) = d.as_ref() {
            second_stage(net, built, report)?;
        }
    }
    Ok(())
}

/// What libtorch gives for the main file's outputs.
///
/// # Errors
/// When libtorch fails.
pub fn expected(model: &Model, part: Part, pixels: &Tensor) -> Result<Vec<NamedOutput>, ExportError> {
    let ops = &mut Eager::eval();
    match &model.network {
        Network::Backbone(b) if part == Part::Classifier => Ok(vec![named("logits", &b.classify(ops, pixels))?]),
        Network::Backbone(b) => {
            let features = b.features(ops, pixels);
            b.taps().iter().zip(&features).map(|(t, f)| named(format!("C{}", t.level), f)).collect()
        }
        Network::Detector(d) => match d.as_ref() {
            Detector::RetinaNet(net) => {
                let out = net.raw(ops, pixels);
                Ok(vec![named("logits", &out.logits)?, named("deltas", &out.deltas)?])
            }
            Detector::MaskRcnn(net) => {
                let out = net.stage_one(ops, pixels);
                let mut all = vec![named("objectness", &out.rpn.logits)?, named("deltas", &out.rpn.deltas)?];
                for (level, map) in net.config().levels.iter().zip(&out.pyramid) {
                    all.push(named(format!("P{level}"), map)?);
                }
                Ok(all)
            }
        },
    }
}

fn second_stage(net: &MaskRcnn, built: &Built, report: &mut ParityReport) -> Result<(), ExportError> {
    let ops = &mut Eager::eval();
    for file in &built.files {
        let pool = match file.suffix {
            BOXES => net.config().box_head.pool,
            MASKS => net.config().mask_head.pool,
            _ => continue,
        };
        let regions = fill::input("regions", &[REGIONS, net.backbone.fpn.channels(), pool as i64, pool as i64]);
        let expected = if file.suffix == BOXES {
            let out = net.box_stage(ops, &regions);
            vec![named("logits", &out.logits)?, named("deltas", &out.deltas)?]
        } else {
            vec![named("masks", &net.mask_stage(ops, &regions))?]
        };
        let values = Vec::try_from(regions.f_reshape([-1])?)?;
        let found = REFERENCE.open(&encode(&file.model), Settings::threads(threads()))?.outputs(&regions.size(), &values)?;
        report.add(&format!("{REGIONS} regions"), compare(&expected, &found)?);
    }
    Ok(())
}
