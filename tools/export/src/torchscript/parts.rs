//! The parts of a model as TorchScript files, and their gate.

use std::io::Cursor;

use repghost_heads::Stage;
use tch::{CModule, IValue, Kind, Tensor};

use super::archive::{self, INPUT};
use super::TorchScriptWriter;
use crate::error::ExportError;
use crate::model::{Model, Network};
use crate::onnx::ElementType;
use crate::parity::check::{expected, stage_inputs};
use crate::parity::inputs::Input;
use crate::parity::{self, compare, ParityReport};
use crate::runtime::NamedOutput;
use crate::spec::Part;

/// One file.
#[derive(Debug)]
pub struct File {
    /// What is put between the stem of the output's name and its extension.
    pub suffix: &'static str,
    /// Names of what `forward` returns, in order.
    pub outputs: Vec<String>,
    /// The archive.
    pub bytes: Vec<u8>,
}

fn file(suffix: &'static str, script: &TorchScriptWriter, outputs: Vec<(String, String)>) -> Result<File, ExportError> {
    let (names, variables): (Vec<String>, Vec<String>) = outputs.into_iter().unzip();
    let bytes = archive::write(script, &variables).map_err(ExportError::io("the archive"))?;
    Ok(File { suffix, outputs: names, bytes })
}

/// The files of a part, one per stage, the main one first.
///
/// # Errors
/// A detector to the end: its suppression is no network.
pub fn build(model: &Model, part: Part) -> Result<Vec<File>, ExportError> {
    if let (Network::Detector(_), Part::Detector) = (&model.network, part) {
        return Err(ExportError::part(part.name(), "TorchScript holds networks only; take part raw, or format onnx"));
    }
    let file = |stage: &Stage| {
        let mut ops = TorchScriptWriter::default();
        let outputs = model.network.run_stage(part, stage, &mut ops, &INPUT.to_string());
        file(stage.suffix(), &ops, outputs)
    };
    model.network.stages().iter().map(file).collect()
}

fn run(file: &File, module: &CModule, x: Tensor) -> Result<Vec<NamedOutput>, ExportError> {
    let tensors = match module.forward_is(&[IValue::Tensor(x)])? {
        IValue::Tensor(t) => vec![t],
        IValue::Tuple(all) => all
            .into_iter()
            .filter_map(|v| match v {
                IValue::Tensor(t) => Some(t),
                _ => None,
            })
            .collect(),
        _ => vec![],
    };
    let named = |(name, t): (&String, &Tensor)| {
        let data = Vec::try_from(t.f_to_kind(Kind::Float)?.f_reshape([-1])?)?;
        Ok(NamedOutput { name: name.clone(), shape: t.size(), data })
    };
    file.outputs.iter().zip(&tensors).map(named).collect()
}

/// Loads the files with libtorch's own reader and compares them with the model.
///
/// # Errors
/// Files that libtorch refuses; differences beyond tolerance.
pub fn check(model: &Model, part: Part, files: &[File], inputs: &[Input]) -> Result<ParityReport, ExportError> {
    let mut report = ParityReport::default();
    for (stage, file) in model.network.stages().iter().zip(files) {
        let module = CModule::load_data(&mut Cursor::new(&file.bytes))?;
        for input in stage_inputs(stage, inputs)? {
            let wanted = expected(model, part, stage, &input.tensor())?;
            report.add(&input.name, compare(&wanted, &run(file, &module, input.tensor())?)?);
        }
    }
    report.within(parity::check::tolerance(ElementType::F32))?;
    Ok(report)
}
