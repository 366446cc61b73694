//! One export from start to end: load, fuse, write, check, keep.

use std::path::{Path, PathBuf};

use repghost_backbone::weights::{write_atomic, Form};
use repghost_train::Experiment;

use crate::eight_bit;
use crate::error::ExportError;
use crate::export::{encode, BatchSize, ExportSpec};
use crate::gate::run::Subject;
use crate::gate::{self, Checked};
use crate::metadata::Metadata;
use crate::model::{self, Model};
use crate::onnx::retinanet::Nms;
use crate::onnx::Element;
use crate::parts::{self, Built};
use crate::torchscript;

/// Which part of a model becomes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The tapped features.
    Backbone,
    /// Class logits of an image classifier.
    Classifier,
    /// A detector's networks; boxes are decoded and suppressed by whoever runs the file.
    Raw,
    /// Image in, detections out.
    Detector,
}

impl Part {
    /// As the command line calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backbone => "backbone",
            Self::Classifier => "classifier",
            Self::Raw => "raw",
            Self::Detector => "detector",
        }
    }
}

/// Kind of file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// ONNX.
    #[default]
    Onnx,
    /// TorchScript.
    TorchScript,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Weights, in any form, or a checkpoint.
    pub weights: PathBuf,
    /// Which part.
    pub part: Part,
    /// Type of weights and activations.
    pub precision: Element,
    /// Eight bits within, with ranges from so many images.
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
    /// Images to check the file on; without any the validation data, or else built-in pictures.
    pub images: Vec<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub struct Exported {
    /// Files that were written, the ONNX file first.
    pub files: Vec<PathBuf>,
    /// Nodes of the ONNX files.
    pub nodes: usize,
    /// What the gate found.
    pub checked: Checked,
    /// Lines for people: what eight bits cost and save.
    pub notes: Vec<String>,
}

/// Exports; `resolved` is the experiment as YAML, for the file's metadata.
///
/// # Errors
/// Whatever does not fit; a file that computes something else than the model.
pub fn export(e: &Experiment, resolved: &str, request: &Request) -> Result<Exported, ExportError> {
    let _guard = tch::no_grad_guard();
    let mut model = model::load(e, &request.weights, request.part)?;
    fold(&mut model, request)?;
    let spec = ExportSpec { precision: request.precision, batch: request.batch, size: request.size };
    if request.format == Format::TorchScript {
        return script(e, &model, request, &spec);
    }
    let metadata = Metadata::new(&model, request, resolved);
    let built = parts::build(&model, request.part, &spec, request.nms, &metadata)?;
    let inputs = gate::inputs::collect(e, &spec, &request.images)?;
    if let Some(images) = request.int8 {
        return eight_bit::export(e, &model, request, &spec, built, &inputs, images);
    }
    let checked =
        Subject { experiment: e, model: &model, part: request.part, built: &built, spec: &spec, inputs: &inputs }.check()?;
    let nodes = built.files.iter().map(|f| f.model.graph.as_ref().map_or(0, |g| g.node.len())).sum();
    Ok(Exported { files: keep(&built, &request.output)?, nodes, checked, notes: vec![] })
}

/// Folds unless told otherwise. Folded weights cannot be unfolded.
fn fold(model: &mut Model, request: &Request) -> Result<(), ExportError> {
    if request.fused {
        model.network.fuse();
    } else if model.form != Form::Train {
        return Err(ExportError::Arguments(format!(
            "--unfused: the weights of {} are in {} form, in which branches or batch norms are folded already",
            request.weights.display(),
            model.form
        )));
    }
    Ok(())
}

/// `F.onnx` with `suffix` before its extension, or with another extension.
pub fn sibling(output: &Path, suffix: &str, extension: &str) -> PathBuf {
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!("{stem}{suffix}.{extension}"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    use std::io::Write;
    let result: Result<(), std::io::Error> = write_atomic(path, |file| file.write_all(bytes));
    result.map_err(ExportError::io(path))
}

/// The TorchScript way: any batch and size, single precision.
fn script(e: &Experiment, model: &Model, request: &Request, spec: &ExportSpec) -> Result<Exported, ExportError> {
    if request.precision != Element::F32 {
        return Err(ExportError::Arguments(
            "--format torchscript takes --precision fp32; call .half() where it is loaded".into(),
        ));
    }
    spec.check(parts::SIZE_MULTIPLE)?;
    let files = torchscript::parts::build(model, request.part)?;
    let inputs = gate::inputs::collect(e, spec, &request.images)?;
    let checked = torchscript::parts::check(model, request.part, &files, &inputs)?;
    let mut paths = vec![];
    for file in &files {
        let extension = request.output.extension().map_or("pt".into(), |e| e.to_string_lossy().into_owned());
        let path =
            if file.suffix.is_empty() { request.output.clone() } else { sibling(&request.output, file.suffix, &extension) };
        write(&path, &file.bytes)?;
        paths.push(path);
    }
    Ok(Exported { files: paths, nodes: 0, checked, notes: vec![] })
}

pub(crate) fn keep(built: &Built, output: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let mut paths = vec![];
    for file in &built.files {
        let path = if file.suffix.is_empty() { output.to_path_buf() } else { sibling(output, file.suffix, "onnx") };
        write(&path, &encode(&file.model))?;
        paths.push(path);
    }
    if let Some(sidecar) = &built.sidecar {
        let path = output.with_extension("json");
        let text =
            serde_json::to_vec_pretty(sidecar).map_err(|e| ExportError::Format { path: path.clone(), why: e.to_string() })?;
        write(&path, &text)?;
        paths.push(path);
    }
    Ok(paths)
}
