//! The gate over many networks, as a table: `make gate`.

use repghost_backbone::synthetic::input;
use repghost_backbone::{BackboneConfig, FuseLevel, Tree};
use repghost_train::Experiment;

use super::check::ParityCheck;
use super::inputs::Input;
use super::report::ParityReport;
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
}

/// One network in one precision.
#[derive(Debug)]
pub struct Row {
    /// Backbone, head, precision.
    pub name: String,
    /// What the gate found, for each of [`PARTS`].
    pub cells: Vec<ParityReport>,
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
        Ok(())
    }
}

/// Head of the table.
pub const HEADER: &str = "\
| network | outputs within | detections, plain operators | detections, ONNX operators |
|---|---|---|---|";

/// Exports all parts of a network with weights by rule and runs them, static and at two dynamic batch sizes.
///
/// # Errors
/// A difference beyond tolerance; no onnxruntime.
pub fn gate_row(backbone: &BackboneConfig, head: &str, precision: ElementType) -> Result<Row, ExportError> {
    gate_experiment(synthetic::narrow(backbone, head)?, CLASSES, precision)
}

/// [`gate_row`] for an experiment of one's own with so many classes.
///
/// # Errors
/// As [`gate_row`].
pub fn gate_experiment(mut e: Experiment, classes: usize, precision: ElementType) -> Result<Row, ExportError> {
    let _guard = tch::no_grad_guard();
    let head = e.model.head.name();
    let pixels = input("gate", &[1, 3, SIZE[0], SIZE[1]]) * 2.0;
    let mut detector = synthetic::detector(&mut e, classes, &pixels)?;
    let name =
        format!("{} {head} {}", detector.backbone().body.name, if precision == ElementType::F16 { "fp16" } else { "fp32" });
    detector.fuse(FuseLevel::All);
    let network = Network::Detector(Box::new(detector));
    let form = repghost_backbone::weights::Form::Folded;
    let model = Model { network, classes: synthetic::classes(classes), form };
    let cells = PARTS.iter().map(|kind| check(&model, *kind, precision)).collect::<Result<_, _>>()?;
    Ok(Row { name, cells })
}

fn check(model: &Model, kind: Kind, precision: ElementType) -> Result<ParityReport, ExportError> {
    let (part, nms) = match kind {
        Kind::Raw => (Part::Raw, Nms::Plain),
        Kind::Plain => (Part::Detector, Nms::Plain),
        Kind::Standard => (Part::Detector, Nms::Onnx),
    };
    // The number of regions differs from image to image.
    let single = kind == Kind::Standard && model.network.stages().len() > 1;
    let batch = if single { BatchSize::Fixed(1) } else { BatchSize::Dynamic };
    let spec = ExportSpec { precision, batch, size: SIZE };
    let built = parts::build(model, part, &spec, nms, &Metadata(vec![]))?;
    let batches: &[i64] = if single { &[1] } else { &[1, 2] };
    let inputs: Vec<Input> = batches
        .iter()
        .map(|n| {
            let shape = [*n, 3, SIZE[0], SIZE[1]];
            let pixels = Vec::try_from((input("gate", &shape) * 2.0).reshape(-1)).unwrap_or_default();
            Input { name: format!("batch {n}"), pixels, shape, sizes: vec![SIZE; *n as usize] }
        })
        .collect();
    ParityCheck { model, part, built: &built, spec: &spec, inputs: &inputs }.check()
}
