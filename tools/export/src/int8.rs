//! Quantization to int8, and what that costs (accuracy) and saves (time), side by side: fused networks can lose much, since folding widens the
//! ranges of their weights.

use std::sync::atomic::AtomicBool;

use repghost_train::detection::data::SplitData;
use repghost_train::evaluate::{evaluate_detector, Measured};
use repghost_train::Experiment;

use crate::calibrate::{calibrated, speeds, Calibrated};
use crate::engine::exported::ExportedDetector;
use crate::engine_pool::ExportedPool;
use crate::error::ExportError;
use crate::images::Images;
use crate::metadata::Metadata;
use crate::model::Model;
use crate::onnx::ElementType;
use crate::parity::inputs::Input;
use crate::parity::{ParityCheck, ParityReport};
use crate::parts::Built;
use crate::spec::{BatchSize, ExportSpec, Part};

/// With fewer calibration images, ranges depend on which they are.
const FEW_IMAGES: usize = 8;
/// A larger loss of AP is a warning.
const LARGE_LOSS: f64 = 0.02;

/// Files whose main graph is quantized.
#[derive(Debug)]
pub struct Quantized {
    /// The files.
    pub built: Built,
    /// Differences from the model.
    pub parity: ParityReport,
    /// Lines to print: images used, times, change of AP.
    pub notes: Vec<String>,
    /// What a user should look at.
    pub warnings: Vec<String>,
}

/// What is quantized.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The experiment that the model was built from.
    pub experiment: &'a Experiment,
    /// The model.
    pub model: &'a Model,
    /// Which part of it.
    pub part: Part,
    /// Types and sizes of the file.
    pub spec: &'a ExportSpec,
}

impl Subject<'_> {
    /// Quantizes the main file of `built`, with ranges from `count` of the images. The number of images, and AP before and after where there
    /// is validation data, go into the metadata.
    ///
    /// # Errors
    /// A fixed batch other than 1; images that cannot be read.
    pub fn quantize(&self, built: Built, inputs: &[Input], images: &Images, count: usize) -> Result<Quantized, ExportError> {
        let spec = self.spec;
        if !matches!(spec.batch, BatchSize::Fixed(1) | BatchSize::Dynamic) || spec.precision != ElementType::F32 || count == 0 {
            let why = "it takes batch 1 or dynamic, and at least one calibration image".into();
            return Err(ExportError::Option { option: "precision", value: "int8".into(), why });
        }
        let mut quantized = built.clone();
        let (Some(float), Some(main)) = (built.files.first(), quantized.files.first_mut()) else {
            return Err(ExportError::Arguments("there is nothing to quantize".into()));
        };
        let Calibrated { model, images: used, plain } = calibrated(&float.model, images.source.as_ref(), count, spec.size)?;
        main.model = model;
        let (model, part) = (self.model, self.part);
        let parity = ParityCheck { model, part, built: &quantized, spec, inputs }.measure()?;
        let mut notes = vec![format!("ranges from {used} {}", images.kind)];
        let mut warnings = calibration_warnings(used, plain);
        if let Some(input) = inputs.iter().find(|i| i.shape[0] == 1) {
            let [before, after] = speeds([&float.model, &quantized.files[0].model], input.shape, &input.pixels)?;
            let ratio = before / after;
            notes.push(format!("onnxruntime, one thread: {before:.2} ms in float, {after:.2} ms in int8 ({ratio:.2}x)"));
            if ratio < 1.0 {
                notes.push("on this CPU int8 is slower: conversions cost more than thin layers gain (docs/latency.md); it is for TensorRT".into());
            }
        }
        let mut metadata = vec![("int8_calibration_images".to_string(), used.to_string())];
        if matches!(part, Part::Raw | Part::Detector) {
            match &images.validation {
                Some(val) => {
                    let changes = changes(&self.measure(val, &built)?, &self.measure(val, &quantized)?);
                    for change in &changes {
                        notes.push(change.to_string());
                        warnings.extend(change.warning());
                        metadata.extend(change.metadata());
                    }
                }
                None => notes.push("no validation data: the change of AP was not measured".into()),
            }
        }
        Metadata(metadata).append(&mut quantized.files[0].model);
        Ok(Quantized { built: quantized, parity, notes, warnings })
    }

    /// The COCO numbers of files in memory.
    fn measure(&self, val: &SplitData, built: &Built) -> Result<Measured, ExportError> {
        let decoder = self.model.network.decoder().filter(|_| self.part == Part::Raw);
        let pool = ExportedPool::opened(ExportedDetector::built(built, decoder, &self.model.classes)?);
        let measured = evaluate_detector(self.experiment, &pool, val, &AtomicBool::new(false), &mut |_, _| ())?;
        measured.ok_or_else(|| ExportError::Arguments("the measurement was stopped".into()))
    }
}

fn calibration_warnings(images: usize, plain: usize) -> Vec<String> {
    let mut warnings = vec![];
    if images < FEW_IMAGES {
        warnings.push(format!("ranges come from {images} calibration images only; {FEW_IMAGES} or more are advised"));
    }
    if plain > 0 {
        warnings.push(format!("{plain} of {images} calibration images have a single colour: they show no range"));
    }
    warnings
}

/// AP before and after.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    /// `bbox` or `segm`.
    iou_type: String,
    float: f64,
    int8: f64,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { iou_type, float, int8 } = self;
        write!(f, "{iou_type} AP {float:.4} in float, {int8:.4} in int8 ({:+.4})", int8 - float)
    }
}

impl Change {
    fn warning(&self) -> Option<String> {
        let lost = self.float - self.int8;
        (lost > LARGE_LOSS).then(|| {
            let name = &self.iou_type;
            format!("int8 costs {lost:.4} of {name} AP: use more or better calibration images, or half precision")
        })
    }

    fn metadata(&self) -> [(String, String); 2] {
        let key = |precision: &str| format!("{}_ap_{precision}", self.iou_type);
        [(key("float"), format!("{:.6}", self.float)), (key("int8"), format!("{:.6}", self.int8))]
    }
}

fn changes(float: &Measured, int8: &Measured) -> Vec<Change> {
    let pairs = float.evaluations.iter().zip(&int8.evaluations);
    pairs.map(|(a, b)| Change { iou_type: a.iou_type.name().into(), float: a.numbers.ap, int8: b.numbers.ap }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_plain_images_are_warnings() {
        assert!(calibration_warnings(32, 0).is_empty());
        assert!(calibration_warnings(7, 0)[0].contains("7 calibration images only"));
        assert!(calibration_warnings(32, 3)[0].contains("3 of 32"));
        assert_eq!(calibration_warnings(1, 1).len(), 2);
    }

    #[test]
    fn a_large_loss_is_a_warning_and_ap_is_recorded() {
        let change = |float, int8| Change { iou_type: "bbox".into(), float, int8 };
        assert_eq!(change(0.5, 0.49).warning(), None);
        assert_eq!(change(0.5, 0.6).warning(), None);
        assert!(change(0.5, 0.4).warning().unwrap().contains("0.1000 of bbox AP"));
        let recorded = change(0.5, 0.4).metadata();
        assert_eq!(recorded[0], ("bbox_ap_float".into(), "0.500000".into()));
        assert_eq!(recorded[1], ("bbox_ap_int8".into(), "0.400000".into()));
    }
}
