//! All sites one after another, nothing between them.

use repghost_backbone::synthetic::input;
use tch::{Kind, Tensor};

use super::super::plan::Variant;
use super::sites::Site;
use crate::error::ExportError;
use crate::onnx::{ElementType, OnnxWriter};
use crate::runtime::list::Takes;
use crate::runtime::session::{clock, Input, Runs, Settings};
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
/// The runtime's own.
pub fn time(sites: &[Site], join: Join, v: &Variant, runs: Runs) -> Result<Vec<f64>, ExportError> {
    let halves: Vec<[Tensor; 2]> =
        sites.iter().map(|s| ["a", "b"].map(|half| input(&format!("{half} {}", s.path), &s.half))).collect();
    match v.runtime.takes {
        Takes::Network(_) => {
            tch::set_num_threads(v.threads as i32);
            clock(runs, || {
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
        Takes::File(open) => {
            let mut all = vec![];
            for t in halves.iter().flatten() {
                all.push((t.size(), Vec::<f32>::try_from(t.f_to_kind(Kind::Float)?.f_reshape([-1])?)?));
            }
            let inputs: Vec<Input> = all.iter().map(|(shape, values)| Input { shape, values }).collect();
            open(&graph(sites, join), Settings { threads: v.threads, spin: true })?.time(&inputs, runs)
        }
    }
}
