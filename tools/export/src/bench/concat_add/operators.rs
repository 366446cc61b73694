//! All sites one after another, nothing between them.

use repghost_backbone::fill;
use tch::{Kind, Tensor};

use super::super::plan::{RuntimeName, Variant};
use super::super::python::Python;
use super::super::stats::Runs;
use super::super::timing;
use super::sites::Site;
use crate::error::ExportError;
use crate::onnx::{ElementType, OnnxWriter};
use crate::runtime::onnxruntime::{Provider, Settings};
use crate::runtime::OnnxRuntime;
use crate::spec::encode;
use repghost_backbone::Ops;

/// How two halves become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Along the channels.
    Concat,
    /// Element by element.
    Add,
}

/// A graph of all sites: two inputs and one output each.
pub fn graph(sites: &[Site], join: Join) -> Vec<u8> {
    let mut ops = OnnxWriter::new(ElementType::F32);
    let outputs: Vec<_> = sites
        .iter()
        .enumerate()
        .map(|(i, site)| {
            let [a, b] = ["a", "b"].map(|half| ops.graph.input(&format!("{half}{i}"), &site.half, ElementType::F32));
            let joined = ops.scope(&site.path, |ops| match join {
                Join::Concat => ops.concat(&[a, b], 1),
                Join::Add => ops.add(&a, &b),
            });
            (format!("joined{i}"), joined)
        })
        .collect();
    for (name, edge) in &outputs {
        ops.graph.output(name, edge);
    }
    encode(&ops.graph.finish("sites", &[]))
}

/// Milliseconds of each pass over all sites.
///
/// # Errors
/// What the runtime says.
pub fn time(sites: &[Site], join: Join, v: &Variant, runs: Runs, python: Option<&Python>) -> Result<Vec<f64>, ExportError> {
    let halves: Vec<[Tensor; 2]> =
        sites.iter().map(|s| ["a", "b"].map(|half| fill::input(&format!("{half} {}", s.path), &s.half))).collect();
    match v.runtime {
        RuntimeName::Libtorch | RuntimeName::Torchscript => {
            tch::set_num_threads(v.threads as i32);
            timing::time(runs, || {
                for pair in &halves {
                    let joined = match join {
                        Join::Concat => Tensor::cat(pair, 1),
                        Join::Add => &pair[0] + &pair[1],
                    };
                    drop(joined);
                }
                Ok(())
            })
        }
        RuntimeName::Onnxruntime => {
            let mut inputs = vec![];
            for t in halves.iter().flatten() {
                inputs.push((t.size(), Vec::<f32>::try_from(t.f_to_kind(Kind::Float)?.f_reshape([-1])?)?));
            }
            let settings = Settings { threads: v.threads, provider: Provider::Cpu, spin: true };
            let mut session = OnnxRuntime::new(&graph(sites, join), settings)?;
            timing::time(runs, || session.run_inputs(&inputs))
        }
        RuntimeName::Mnn | RuntimeName::Openvino => {
            let python = python.ok_or_else(|| ExportError::Arguments(format!("{} is not installed", v.runtime.name())))?;
            python.time(v.runtime, &graph(sites, join), v.threads, runs)
        }
        RuntimeName::Tensorrt => Err(ExportError::Arguments("TensorRT is not measured site by site".into())),
    }
}
