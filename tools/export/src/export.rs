//! An export from start to end: load, fuse, write, check, keep.

use std::path::PathBuf;

use repghost_backbone::weights::Form;
use repghost_coco::judge::Thresholds;
use repghost_train::Experiment;

use crate::error::ExportError;
use crate::images::Images;
use crate::int8::{self, Quantized};
use crate::metadata::Metadata;
use crate::model::{self, Model};
use crate::onnx::{ElementType, Nms};
use crate::parity::{self, ParityCheck, ParityReport};
use crate::parts;
use crate::parts::files::{sibling, write};
use crate::spec::{BatchSize, ExportSpec, Format, Part, SIZE_MULTIPLE};
use crate::torchscript;

/// What to export, and how.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// Weights, in any form, or a checkpoint.
    pub weights: PathBuf,
    /// Which part.
    pub part: Part,
    /// Type of weights and activations.
    pub precision: ElementType,
    /// With a number, the graph is quantized to int8, with ranges from so many images.
    pub int8: Option<usize>,
    /// Batch.
    pub batch: BatchSize,
    /// Height and width of the input.
    pub size: [i64; 2],
    /// Fold branches and batch norms first.
    pub fused: bool,
    /// Kind of file.
    pub format: Format,
    /// How a detector file suppresses.
    pub nms: Nms,
    /// The file to write.
    pub output: PathBuf,
    /// Score thresholds that a detector file applies to what it finds.
    pub thresholds: Option<Thresholds>,
    /// Images to check the file on; without any the validation data, or else built-in pictures.
    pub images: Vec<PathBuf>,
}

impl ExportOptions {
    fn spec(&self) -> ExportSpec {
        ExportSpec { precision: self.precision, batch: self.batch, size: self.size }
    }

    /// Name of the precision, as in the metadata.
    fn precision_name(&self) -> &'static str {
        match self.precision {
            _ if self.int8.is_some() => "int8",
            ElementType::F16 => "fp16",
            _ => "fp32",
        }
    }
}

/// Result of an export.
#[derive(Debug)]
pub struct ExportReport {
    /// Files that were written, the ONNX file first.
    pub files: Vec<PathBuf>,
    /// Nodes of the ONNX files.
    pub nodes: usize,
    /// Differences between file and model.
    pub parity: ParityReport,
    /// Lines to print: what int8 costs and saves.
    pub notes: Vec<String>,
    /// What a user should look at.
    pub warnings: Vec<String>,
}

/// Exports; `resolved` is the experiment as YAML, for the file's metadata.
///
/// # Errors
/// Weights, sizes or options that do not fit; a file that computes something else than the model.
pub fn export(e: &Experiment, resolved: &str, options: &ExportOptions) -> Result<ExportReport, ExportError> {
    let _guard = tch::no_grad_guard();
    let mut model = model::load(e, &options.weights, options.part)?;
    fold(&mut model, options)?;
    if let Some(thresholds) = options.thresholds.as_ref().filter(|_| options.part == Part::Detector) {
        model.cutoffs = model.classes.iter().map(|class| thresholds.of(&class.name)).collect();
    }
    match options.format {
        Format::Onnx => onnx(e, resolved, &model, options),
        Format::TorchScript => script(e, &model, options),
    }
}

/// Folds unless asked not to. Folded weights cannot be unfolded.
fn fold(model: &mut Model, options: &ExportOptions) -> Result<(), ExportError> {
    if options.fused {
        model.network.fuse();
    } else if model.form != Form::Train {
        let (path, form) = (options.weights.display(), model.form);
        let why = format!("the weights of {path} are in {form} form, in which branches or batch norms are folded already");
        return Err(ExportError::Option { option: "fused", value: "false".into(), why });
    }
    Ok(())
}

fn onnx(e: &Experiment, resolved: &str, model: &Model, options: &ExportOptions) -> Result<ExportReport, ExportError> {
    let (part, spec) = (options.part, options.spec());
    let mut metadata = Metadata::new(model, part, options.precision_name(), options.fused, resolved);
    if let Some(thresholds) = options.thresholds.as_ref().filter(|_| part == Part::Detector) {
        let bad = |e: serde_json::Error| ExportError::Format { path: options.output.clone(), why: e.to_string() };
        metadata = metadata.with_thresholds(thresholds).map_err(bad)?;
    }
    let built = parts::build(model, part, &spec, options.nms, &metadata)?;
    let classes: Vec<String> = model.classes.iter().map(|c| c.name.clone()).collect();
    let measured = options.int8.is_some() && matches!(part, Part::Raw | Part::Detector);
    let images = Images::open(e, &options.images, measured.then_some(&classes[..]))?;
    let inputs = parity::inputs::collect(&spec, &images)?;
    let Quantized { built, parity, notes, warnings } = match options.int8 {
        Some(count) => {
            let subject = int8::Subject { experiment: e, model, part, spec: &spec };
            subject.quantize(built, &inputs, &images, count)?
        }
        None => {
            let parity = ParityCheck { model, part, built: &built, spec: &spec, inputs: &inputs }.check()?;
            Quantized { built, parity, notes: vec![], warnings: vec![] }
        }
    };
    Ok(ExportReport { files: built.write(&options.output)?, nodes: built.nodes(), parity, notes, warnings })
}

/// TorchScript: any batch and size, single precision.
fn script(e: &Experiment, model: &Model, options: &ExportOptions) -> Result<ExportReport, ExportError> {
    if options.precision != ElementType::F32 {
        let why = "it takes precision fp32; call .half() where it is loaded".into();
        return Err(ExportError::Option { option: "format", value: "torchscript".into(), why });
    }
    let spec = options.spec();
    spec.check(SIZE_MULTIPLE)?;
    let files = torchscript::parts::build(model, options.part)?;
    let inputs = parity::inputs::collect(&spec, &Images::open(e, &options.images, None)?)?;
    let parity = torchscript::parts::check(model, options.part, &files, &inputs)?;
    let mut paths = vec![];
    for file in &files {
        let extension = options.output.extension().map_or("pt".into(), |e| e.to_string_lossy().into_owned());
        let path = match file.suffix.is_empty() {
            true => options.output.clone(),
            false => sibling(&options.output, file.suffix, &extension),
        };
        write(&path, &file.bytes)?;
        paths.push(path);
    }
    Ok(ExportReport { files: paths, nodes: 0, parity, notes: vec![], warnings: vec![] })
}
