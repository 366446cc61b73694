//! The gate over many networks, as a table: `make gate`.

use repghost_backbone::synthetic::input;
use repghost_backbone::{BackboneConfig, FuseLevel, Tree};
use repghost_heads::PostprocessConfig;
use repghost_train::Experiment;
use tch::Tensor;

use super::check::ParityCheck;
use super::inputs::Input;
use super::report::ParityReport;
use super::thresholds::{self, Shown};
use crate::error::ExportError;
use crate::metadata::Metadata;
use crate::model::{Model, Network};
use crate::onnx::{ElementType, Nms};
use crate::parts;
use crate::spec::{BatchSize, ExportSpec, Part};
use crate::synthetic;

/// Height and width of the images: small, so that many networks take a minute.
const SIZE: [i64; 2] = [64, 96];
/// Classes of the detectors.
const CLASSES: usize = 3;

/// What is exported of each network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Raw outputs.
    Raw,
    /// Detections in plain operators.
    Plain,
    /// Detections with ONNX's `NonMaxSuppression` (and `RoiAlign`).
    Standard,
}

/// All kinds, in order.
pub const PARTS: [Kind; 3] = [Kind::Raw, Kind::Plain, Kind::Standard];

impl Kind {
    /// Whether it finds objects.
    pub fn is_detector(self) -> bool {
        self != Self::Raw
    }

    fn nms(self) -> Nms {
        match self {
            Self::Raw => Nms::PLAIN,
            // A crowd has long chains.
            Self::Plain => Nms::Plain { rounds: 40 },
            Self::Standard => Nms::Onnx,
        }
    }
}

/// One network in one precision.
#[derive(Debug)]
pub struct Row {
    /// Backbone, head, precision.
    pub name: String,
    /// What the gate found, for each of [`PARTS`].
    pub cells: Vec<ParityReport>,
    /// Detections with score thresholds in the file, for each of [`PARTS`] that is a detector.
    pub shown: Vec<Shown>,
}

impl Row {
    /// Largest relative difference of an output.
    pub fn worst(&self) -> f64 {
        self.cells.iter().map(ParityReport::worst).fold(0.0, f64::max)
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "| {} | {:.1e} |", self.name, self.worst())?;
        for cell in self.cells.iter().skip(1) {
            let a = cell.detections();
            write!(f, " {} of {} |", a.total - a.missing, a.total)?;
        }
        for Shown { shown, all } in &self.shown {
            write!(f, " {shown} of {all} |")?;
        }
        Ok(())
    }
}

/// Head of the table.
pub const HEADER: &str = "\
| network | outputs within | detections, plain operators | detections, ONNX operators | shown with thresholds, plain | shown with thresholds, ONNX |
|---|---|---|---|---|---|";

/// Exports all parts of a network with synthetic weights and runs them, static and at two dynamic batch sizes; then detectors once more where
/// nothing is found, and in a crowd, and with score thresholds.
///
/// # Errors
/// A difference beyond tolerance; no onnxruntime.
pub fn gate_row(backbone: &BackboneConfig, head: &str, precision: ElementType) -> Result<Row, ExportError> {
    let _guard = tch::no_grad_guard();
    let (name, mut model) = synthetic_model(synthetic::narrow(backbone, head)?, CLASSES, precision)?;
    let mut cells = all_parts(&model, precision)?;
    let shown = with_thresholds(&mut model, precision)?;
    for case in CASES.iter().filter(|case| case.precisions.contains(&precision)) {
        set_postprocess(&mut model, case.change);
        for (kind, cell) in PARTS.iter().zip(&mut cells).filter(|(kind, _)| kind.is_detector()) {
            cell.append(case.name, check(&model, *kind, precision)?);
        }
    }
    Ok(Row { name, cells, shown })
}

/// Exports all parts of an experiment's network with so many classes and runs them.
///
/// # Errors
/// As [`gate_row`].
pub fn gate_experiment(e: Experiment, classes: usize, precision: ElementType) -> Result<Row, ExportError> {
    let _guard = tch::no_grad_guard();
    let (name, mut model) = synthetic_model(e, classes, precision)?;
    Ok(Row { name, cells: all_parts(&model, precision)?, shown: with_thresholds(&mut model, precision)? })
}

fn all_parts(model: &Model, precision: ElementType) -> Result<Vec<ParityReport>, ExportError> {
    PARTS.iter().map(|kind| check(model, *kind, precision)).collect()
}

fn with_thresholds(model: &mut Model, precision: ElementType) -> Result<Vec<Shown>, ExportError> {
    let spec = ExportSpec { precision, batch: BatchSize::Fixed(1), size: SIZE };
    let pixels = Vec::try_from(gate_images(1).reshape(-1))?;
    PARTS.iter().filter(|kind| kind.is_detector()).map(|kind| thresholds::check(model, &spec, kind.nms(), &pixels)).collect()
}

fn gate_images(batch: i64) -> Tensor {
    input("gate", &[batch, 3, SIZE[0], SIZE[1]]) * 2.0
}

/// A folded detector with synthetic weights, and its name in the table.
fn synthetic_model(mut e: Experiment, classes: usize, precision: ElementType) -> Result<(String, Model), ExportError> {
    let mut detector = synthetic::detector(&mut e, classes, &gate_images(1))?;
    let precision = if precision == ElementType::F16 { "fp16" } else { "fp32" };
    let name = format!("{} {} {precision}", detector.backbone().body.name, detector.name());
    detector.fuse(FuseLevel::All);
    let network = Network::Detector(Box::new(detector));
    let form = repghost_backbone::weights::Form::Folded;
    Ok((name, Model { network, classes: synthetic::classes(classes), form, cutoffs: vec![] }))
}

/// Post-processing that a detector is checked with besides its own.
struct Case {
    name: &'static str,
    /// In half precision equal scores are common, and their order in a crowd decides who suppresses whom.
    precisions: &'static [ElementType],
    change: fn(&mut PostprocessConfig),
}

const CASES: [Case; 2] = [
    Case { name: "no detections", precisions: &[ElementType::F32, ElementType::F16], change: |p| p.score_threshold = 1.0 },
    Case {
        name: "crowded",
        precisions: &[ElementType::F32],
        change: |p| (p.score_threshold, p.pre_nms_top_k, p.max_detections) = (0.0, 400, 300),
    },
];

fn set_postprocess(model: &mut Model, change: fn(&mut PostprocessConfig)) {
    if let Network::Detector(detector) = &mut model.network {
        let mut config = *detector.decoder().postprocess();
        change(&mut config);
        detector.set_postprocess(config);
    }
}

fn check(model: &Model, kind: Kind, precision: ElementType) -> Result<ParityReport, ExportError> {
    let part = if kind.is_detector() { Part::Detector } else { Part::Raw };
    // The number of regions differs from image to image.
    let single = kind == Kind::Standard && model.network.stages().len() > 1;
    let batch = if single { BatchSize::Fixed(1) } else { BatchSize::Dynamic };
    let spec = ExportSpec { precision, batch, size: SIZE };
    let built = parts::build(model, part, &spec, kind.nms(), &Metadata(vec![]))?;
    let batches: &[i64] = if single { &[1] } else { &[1, 2] };
    let inputs: Vec<Input> = batches
        .iter()
        .map(|n| {
            let shape = [*n, 3, SIZE[0], SIZE[1]];
            let pixels = Vec::try_from(gate_images(*n).reshape(-1)).unwrap_or_default();
            Input { name: format!("batch {n}"), pixels, shape, sizes: vec![SIZE; *n as usize] }
        })
        .collect();
    ParityCheck { model, part, built: &built, spec: &spec, inputs: &inputs }.check()
}
