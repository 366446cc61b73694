//! The parts of a model as TorchScript files, and their gate.

use std::io::Cursor;

use repghost_backbone::{fill, Eager};
use repghost_heads::Detector;
use tch::{CModule, IValue, Kind, Tensor};

use super::archive::{self, INPUT};
use super::TorchScriptWriter;
use crate::error::ExportError;
use crate::model::{Model, Network};
use crate::onnx::ElementType;
use crate::parity::check::expected;
use crate::parity::inputs::Input;
use crate::parity::{self, compare, ParityReport};
use crate::parts::mask_rcnn::{BOXES, MASKS};
use crate::runtime::NamedOutput;
use crate::spec::Part;

/// Regions that the second stage's files are checked on.
const REGIONS: i64 = 5;

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

/// The files of a part, the main one first.
///
/// # Errors
/// A detector to the end: its suppression is no network.
pub fn build(model: &Model, part: Part) -> Result<Vec<File>, ExportError> {
    let image = INPUT.to_string();
    let mut ops = TorchScriptWriter::default();
    let refuse = |why: &str| Err(ExportError::Part { part: part.name(), why: why.into() });
    match (&model.network, part) {
        (Network::Backbone(b), Part::Classifier) => {
            let logits = b.classify(&mut ops, &image);
            Ok(vec![file("", &ops, vec![("logits".into(), logits)])?])
        }
        (Network::Backbone(b), _) => {
            let maps = b.features(&mut ops, &image);
            let outputs = b.taps().iter().map(|t| format!("C{}", t.level)).zip(maps).collect();
            Ok(vec![file("", &ops, outputs)?])
        }
        (_, Part::Detector) => refuse("TorchScript holds networks; take --part raw, or --format onnx"),
        (Network::Detector(d), _) => match d.as_ref() {
            Detector::RetinaNet(net) => {
                let out = net.raw(&mut ops, &image);
                Ok(vec![file("", &ops, vec![("logits".into(), out.logits), ("deltas".into(), out.deltas)])?])
            }
            Detector::MaskRcnn(net) => {
                let out = net.stage_one(&mut ops, &image);
                let mut outputs: Vec<_> = net.config().levels.iter().map(|l| format!("P{l}")).zip(out.pyramid).collect();
                outputs.push(("objectness".into(), out.rpn.logits));
                outputs.push(("deltas".into(), out.rpn.deltas));
                let first = file("", &ops, outputs)?;
                let mut ops = TorchScriptWriter::default();
                let out = net.box_stage(&mut ops, &image);
                let boxes = file(BOXES, &ops, vec![("logits".into(), out.logits), ("deltas".into(), out.deltas)])?;
                let mut ops = TorchScriptWriter::default();
                let out = net.mask_stage(&mut ops, &image);
                Ok(vec![first, boxes, file(MASKS, &ops, vec![("masks".into(), out)])?])
            }
        },
    }
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
    for file in files {
        let module = CModule::load_data(&mut Cursor::new(&file.bytes))?;
        if file.suffix.is_empty() {
            for input in inputs {
                let wanted = expected(model, part, &input.tensor())?;
                report.add(&input.name, compare(&wanted, &run(file, &module, input.tensor())?)?);
            }
            continue;
        }
        let Network::Detector(d) = &model.network else { continue };
        let Detector::MaskRcnn(net) = d.as_ref() else { continue };
        let pool = if file.suffix == BOXES { net.config().box_head.pool } else { net.config().mask_head.pool } as i64;
        let regions = fill::input("regions", &[REGIONS, net.backbone.fpn.channels(), pool, pool]);
        let ops = &mut Eager::eval();
        let wanted: Vec<(&str, Tensor)> = if file.suffix == BOXES {
            let out = net.box_stage(ops, &regions);
            vec![("logits", out.logits), ("deltas", out.deltas)]
        } else {
            vec![("masks", net.mask_stage(ops, &regions))]
        };
        let named = wanted.iter().map(|(name, t)| parity::check::named(*name, t));
        let wanted: Vec<NamedOutput> = named.collect::<Result<_, ExportError>>()?;
        report.add(&format!("{REGIONS} regions"), compare(&wanted, &run(file, &module, regions)?)?);
    }
    report.within(parity::check::tolerance(ElementType::F32))?;
    Ok(report)
}
