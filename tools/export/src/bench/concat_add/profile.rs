//! Within the running network, in onnxruntime: from its profiler, which writes a trace event for each node it runs.
//!
//! Three sessions: the network as it is, for the share of each kind of operator and for its concatenations; and the network with a further node
//! beside each concatenation that joins the same two tensors, once as addition and once as concatenation. A further node writes to memory that
//! nothing else uses and takes up to twice as long as one that the network needs, so further nodes are compared with further nodes: the
//! addition's time is the concatenation's, times their ratio. What a further node gives is reduced to a value a channel before it leaves the
//! network: as an output of its own it would have to be laid out and kept for the caller.

use std::collections::BTreeMap;
use std::path::Path;

use repghost_backbone::{synthetic, Backbone};
use serde::Deserialize;
use tch::Kind;

use super::super::plan::Variant;
use super::within::{shares, Within};
use crate::error::ExportError;
use crate::onnx::{proto, ElementType};
use crate::parts::backbone::classifier;
use crate::runtime::onnxruntime::OnnxRuntime;
use crate::runtime::session::{Input, Runs};
use crate::runtime::{Session, Settings};
use crate::spec::{encode, BatchSize, ExportSpec};

/// Ending of the names of nodes that were added.
const BESIDE: &str = "/Beside";

#[derive(Deserialize)]
struct Event {
    name: String,
    #[serde(default)]
    cat: String,
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    args: Arguments,
}

#[derive(Default, Deserialize)]
struct Arguments {
    #[serde(default)]
    op_name: String,
}

/// milliseconds per run, by operator and node.
struct Kernels {
    by_operator: BTreeMap<String, f64>,
    beside_ms: f64,
}

/// How a further node joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Further {
    Concat,
    Add,
}

/// Puts a further node beside each concatenation of two tensors, and the largest value of each of its channels among the outputs.
fn beside(mut model: proto::Model, further: Further) -> proto::Model {
    let Some(graph) = &mut model.graph else { return model };
    let joins: Vec<proto::Node> =
        graph.node.iter().filter(|n| n.op_type.as_deref() == Some("Concat") && n.input.len() == 2).cloned().collect();
    for join in joins {
        let name = format!("{}{BESIDE}", join.name.unwrap_or_default());
        let [joined, output] = [format!("{name}:0"), format!("{name}Largest:0")];
        let node = |op: &str, name: &str, input, output: &str, attribute| proto::Node {
            input,
            output: vec![output.to_string()],
            name: Some(name.to_string()),
            op_type: Some(op.into()),
            attribute,
        };
        let (op, attribute) = match further {
            Further::Add => ("Add", vec![]),
            Further::Concat => ("Concat", join.attribute),
        };
        // The other way around: two nodes that do the same would be made one.
        let halves = join.input.into_iter().rev().collect();
        graph.node.push(node(op, &name, halves, &joined, attribute));
        graph.node.push(node("GlobalMaxPool", &format!("{name}Largest"), vec![joined.clone()], &output, vec![]));
        let element = proto::TensorType { elem_type: Some(ElementType::F32.code()), shape: None };
        graph.output.push(proto::ValueInfo { name: Some(output), r#type: Some(proto::Type { tensor_type: Some(element) }) });
    }
    model
}

fn kernels(bytes: &[u8], v: &Variant, size: [i64; 2], runs: Runs) -> Result<Kernels, ExportError> {
    let folder = tempfile::tempdir().map_err(ExportError::io("temporary folder"))?;
    let settings = Settings { threads: v.threads, spin: true };
    let mut session = OnnxRuntime::profiled(bytes, settings, &folder.path().join("profile"))?;
    let shape = [v.batch, 3, size[0], size[1]];
    let pixels = Vec::<f32>::try_from(synthetic::input("bench", &shape).f_to_kind(Kind::Float)?.f_reshape([-1])?)?;
    let total = runs.warm_up + runs.timed;
    for _ in 0..total {
        session.run(&[Input { shape: &shape, values: &pixels }], &mut |_, _, _| ())?;
    }
    let path = session.profile()?;
    let text = std::fs::read_to_string(&path).map_err(ExportError::io(&path))?;
    parse(&path, &text, total)
}

/// Sums the kernels of a trace over `runs` runs.
fn parse(path: &Path, text: &str, runs: usize) -> Result<Kernels, ExportError> {
    let failure = |e: serde_json::Error| ExportError::Format { path: path.into(), why: format!("no profile: {e}") };
    let events: Vec<Event> = serde_json::from_str(text).map_err(failure)?;
    let mut found = Kernels { by_operator: BTreeMap::new(), beside_ms: 0.0 };
    let of_kernel = |e: &&Event| e.cat == "Node" && e.name.ends_with("_kernel_time");
    for event in events.iter().filter(of_kernel) {
        let ms = event.dur / 1e3 / runs.max(1) as f64;
        if event.name.contains(BESIDE) {
            // What reduces it is part of neither.
            if event.args.op_name != "GlobalMaxPool" {
                found.beside_ms += ms;
            }
        } else {
            *found.by_operator.entry(event.args.op_name.clone()).or_default() += ms;
        }
    }
    Ok(found)
}

/// Runs the network and times its parts.
///
/// # Errors
/// onnxruntime's own.
pub fn within(net: &Backbone, v: &Variant, size: [i64; 2], runs: Runs) -> Result<Within, ExportError> {
    let spec = ExportSpec { precision: ElementType::F32, batch: BatchSize::Fixed(v.batch), size };
    let model = classifier(net, &spec, &[])?;
    let plain = kernels(&encode(&model), v, size, runs)?;
    let concat = kernels(&encode(&beside(model.clone(), Further::Concat)), v, size, runs)?;
    let add = kernels(&encode(&beside(model, Further::Add)), v, size, runs)?;
    let concat_ms = plain.by_operator.get("Concat").copied().unwrap_or(0.0);
    let add_ms = concat_ms * add.beside_ms / concat.beside_ms.max(f64::MIN_POSITIVE);
    Ok(Within { concat_ms, add_ms, shares: shares(plain.by_operator) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A further node joins the same two tensors the other way around, and leaves the network only as a value a channel.
    #[test]
    fn further_nodes_stand_beside_each_join() {
        let join = proto::Node {
            input: vec!["a".into(), "b".into()],
            output: vec!["ab".into()],
            name: Some("site/Concat".into()),
            op_type: Some("Concat".into()),
            attribute: vec![proto::Attribute { name: Some("axis".into()), i: Some(1), ..Default::default() }],
        };
        let graph = proto::Graph { node: vec![join.clone()], ..Default::default() };
        let model = proto::Model { graph: Some(graph), ..Default::default() };
        for (further, op, attributes) in [(Further::Add, "Add", 0), (Further::Concat, "Concat", 1)] {
            let graph = beside(model.clone(), further).graph.unwrap();
            assert_eq!(graph.node[0], join);
            let node = &graph.node[1];
            assert_eq!((node.op_type.as_deref(), node.attribute.len()), (Some(op), attributes));
            assert_eq!(node.input, ["b", "a"]);
            assert_eq!((graph.node[2].op_type.as_deref(), &graph.node[2].input), (Some("GlobalMaxPool"), &node.output));
            assert_eq!((graph.output.len(), graph.output[0].name.as_ref()), (1, graph.node[2].output.first()));
        }
    }

    #[test]
    fn kernels_are_summed_by_operator() {
        let text = r#"[{"cat":"Session","name":"model_run","dur":900,"args":{}},
            {"cat":"Node","name":"a/Concat_kernel_time","dur":300,"args":{"op_name":"Concat"}},
            {"cat":"Node","name":"a/Concat_fence_before","dur":7,"args":{"op_name":"Concat"}},
            {"cat":"Node","name":"b/Concat_kernel_time","dur":100,"args":{"op_name":"Concat"}},
            {"cat":"Node","name":"a/Concat/Beside_kernel_time","dur":60,"args":{"op_name":"Add"}},
            {"cat":"Node","name":"a/Concat/BesideLargest_kernel_time","dur":40,"args":{"op_name":"GlobalMaxPool"}},
            {"cat":"Node","name":"c/Conv_kernel_time","dur":1600,"args":{"op_name":"Conv"}}]"#;
        let k = parse(Path::new("x"), text, 2).unwrap();
        assert_eq!((k.by_operator["Concat"], k.by_operator["Conv"], k.beside_ms), (0.2, 0.8, 0.03));
        let all = shares(k.by_operator);
        assert_eq!((all[0].0.as_str(), all[0].1), ("Conv", 0.8));
        assert!(parse(Path::new("x"), "[", 1).is_err());
    }
}
