//! Int8 inference in QDQ format: the graph stays in float; pairs of QuantizeLinear and DequantizeLinear mark values that a runtime may keep
//! in int8, and it fuses them into integer kernels (TensorRT's explicit quantization). All is symmetric (zero point 0), as TensorRT wants it:
//!
//! - weights: a scale for each output channel, from its largest absolute value;
//! - activations: a scale for each edge, from the range that calibration images showed ([`Ranges`]);
//! - biases, and layers that the caller keeps (the last ones of heads, whose errors would be errors of scores and boxes) with everything
//!   behind them, stay floats.
//!
//! A convolution and the ReLU behind it count as one: the pair follows the ReLU.

use std::collections::{HashMap, HashSet};

use super::proto::{self, attribute_type, data_type};

/// Largest value of a symmetric signed byte.
const MAX: f32 = 127.0;
/// Smallest scale: edges that were always zero.
const LEAST: f32 = 1e-8;
/// Nodes whose inputs and outputs may be int8.
const INTEGER: [&str; 6] = ["Conv", "Gemm", "Add", "Concat", "MaxPool", "Resize"];
/// Nodes that integer kernels swallow when they follow one.
const SWALLOWED: [&str; 2] = ["Relu", "Clip"];

/// Largest absolute value of each edge.
#[derive(Clone, Debug, Default)]
pub struct Ranges(pub HashMap<String, f32>);

impl Ranges {
    /// Widens the range of an edge.
    pub fn widen(&mut self, edge: &str, values: &[f32]) {
        let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
        let known = self.0.entry(edge.to_string()).or_default();
        *known = known.max(largest);
    }
}

fn op(node: &proto::Node) -> &str {
    node.op_type.as_deref().unwrap_or_default()
}

fn name(node: &proto::Node) -> &str {
    node.name.as_deref().unwrap_or_default()
}

/// How a graph is quantized.
struct Sites {
    /// Edges that get a pair, in order of the graph.
    edges: Vec<String>,
    /// Places (in the list of nodes) of quantized nodes.
    nodes: HashSet<usize>,
}

/// The edge that leaves a node, behind the activation that it swallows.
fn outlet<'a>(graph: &'a proto::Graph, node: &'a proto::Node) -> Option<&'a String> {
    let edge = node.output.first()?;
    let users: Vec<&proto::Node> = graph.node.iter().filter(|n| n.input.contains(edge)).collect();
    match users.as_slice() {
        [one] if SWALLOWED.contains(&op(one)) => one.output.first(),
        _ => Some(edge),
    }
}

fn sites(graph: &proto::Graph, kept: &[&str]) -> Sites {
    let constants: HashSet<&str> = graph.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
    let (mut edges, mut seen, mut nodes) = (vec![], HashSet::new(), HashSet::new());
    let mut add = |edge: &String| {
        if !edge.is_empty() && !constants.contains(edge.as_str()) && seen.insert(edge.clone()) {
            edges.push(edge.clone());
        }
    };
    // Edges behind a kept layer. Nodes stand in order of execution.
    let mut late: HashSet<&str> = HashSet::new();
    for (i, node) in graph.node.iter().enumerate() {
        if kept.iter().any(|k| name(node).contains(k)) || node.input.iter().any(|e| late.contains(e.as_str())) {
            late.extend(node.output.iter().map(String::as_str));
            continue;
        }
        if !INTEGER.contains(&op(node)) {
            continue;
        }
        let activations = if matches!(op(node), "Conv" | "Gemm" | "Resize" | "MaxPool") { 1 } else { node.input.len() };
        node.input.iter().take(activations).for_each(&mut add);
        outlet(graph, node).into_iter().for_each(&mut add);
        nodes.insert(i);
    }
    Sites { edges, nodes }
}

/// Edges whose ranges calibration has to show. `kept` are parts of the names of nodes that stay floats.
pub fn edges(model: &proto::Model, kept: &[&str]) -> Vec<String> {
    model.graph.as_ref().map_or_else(Vec::new, |g| sites(g, kept).edges)
}

/// The model with edges as further outputs, for calibration.
pub fn observed(model: &proto::Model, edges: &[String]) -> proto::Model {
    let mut model = model.clone();
    if let Some(graph) = &mut model.graph {
        let inputs: HashSet<String> = graph.input.iter().filter_map(|i| i.name.clone()).collect();
        for edge in edges.iter().filter(|e| !inputs.contains(*e)) {
            let element = proto::TensorType { elem_type: Some(data_type::FLOAT), shape: None };
            let value = proto::ValueInfo { name: Some(edge.clone()), r#type: Some(proto::Type { tensor_type: Some(element) }) };
            graph.output.push(value);
        }
    }
    model
}

fn scalar(name: &str, value: f32) -> proto::Tensor {
    proto::Tensor {
        dims: vec![],
        data_type: Some(data_type::FLOAT),
        name: Some(name.into()),
        raw_data: Some(value.to_le_bytes().to_vec()),
    }
}

fn zero_point(name: &str, dims: &[i64]) -> proto::Tensor {
    let count = dims.iter().product::<i64>() as usize;
    proto::Tensor {
        dims: dims.to_vec(),
        data_type: Some(data_type::INT8),
        name: Some(name.into()),
        raw_data: Some(vec![0; count]),
    }
}

fn node(op: &str, name: String, inputs: Vec<String>, output: String, axis: Option<i64>) -> proto::Node {
    let axis = axis.map(|i| proto::Attribute {
        name: Some("axis".into()),
        i: Some(i),
        kind: Some(attribute_type::INT),
        ..Default::default()
    });
    let attribute = axis.into_iter().collect();
    proto::Node { input: inputs, output: vec![output], name: Some(name), op_type: Some(op.into()), attribute }
}

/// A weight `[out, …]` as bytes with a scale for each output channel.
fn quantize_weight(weight: &proto::Tensor) -> Option<(proto::Tensor, proto::Tensor)> {
    let raw = weight.raw_data.as_ref()?;
    let values: Vec<f32> = raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let channels = *weight.dims.first()? as usize;
    let each = values.len() / channels.max(1);
    let (mut bytes, mut scales) = (Vec::with_capacity(values.len()), Vec::with_capacity(channels));
    for row in values.chunks_exact(each.max(1)) {
        let scale = (row.iter().fold(0f32, |m, v| m.max(v.abs())) / MAX).max(LEAST);
        bytes.extend(row.iter().map(|v| (v / scale).round_ties_even().clamp(-MAX, MAX) as i8 as u8));
        scales.extend(scale.to_le_bytes());
    }
    let name = weight.name.clone().unwrap_or_default();
    let quantized = proto::Tensor {
        dims: weight.dims.clone(),
        data_type: Some(data_type::INT8),
        name: Some(format!("{name}.int8")),
        raw_data: Some(bytes),
    };
    let scale = proto::Tensor {
        dims: vec![channels as i64],
        data_type: Some(data_type::FLOAT),
        name: Some(format!("{name}.scale")),
        raw_data: Some(scales),
    };
    Some((quantized, scale))
}

/// The quantized model.
pub fn quantize(model: &proto::Model, ranges: &Ranges, kept: &[&str]) -> proto::Model {
    let mut model = model.clone();
    let Some(graph) = &mut model.graph else { return model };
    let Sites { edges, nodes } = sites(graph, kept);
    let weights: HashMap<String, proto::Tensor> =
        graph.initializer.iter().filter_map(|t| Some((t.name.clone()?, t.clone()))).collect();
    let replaced: HashSet<&String> = edges.iter().collect();
    let mut pairs: HashMap<String, Vec<proto::Node>> = HashMap::new();
    for edge in &edges {
        let scale = (ranges.0.get(edge).copied().unwrap_or(0.0) / MAX).max(LEAST);
        let [scale_name, zero_name] = ["scale", "zero_point"].map(|what| format!("{edge}.{what}"));
        graph.initializer.push(scalar(&scale_name, scale));
        graph.initializer.push(zero_point(&zero_name, &[]));
        let constants = |first: String| vec![first, scale_name.clone(), zero_name.clone()];
        let (bytes, back) = (format!("{edge}.int8"), format!("{edge}.float"));
        pairs.insert(
            edge.clone(),
            vec![
                node("QuantizeLinear", format!("{edge}/Quantize"), constants(edge.clone()), bytes.clone(), None),
                node("DequantizeLinear", format!("{edge}/Dequantize"), constants(bytes), back, None),
            ],
        );
    }
    let mut rewritten = vec![];
    let mut done: HashSet<String> = HashSet::new();
    let inputs: Vec<String> = graph.input.iter().filter_map(|i| i.name.clone()).collect();
    for edge in &inputs {
        rewritten.extend(pairs.remove(edge).into_iter().flatten());
    }
    let mut extra = vec![];
    for (i, mut n) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        let outputs = n.output.clone();
        // The activation that a kernel swallows reads the kernel's own output; all others read what came back from bytes.
        for edge in &mut n.input {
            if replaced.contains(edge) {
                *edge = format!("{edge}.float");
            }
        }
        if nodes.contains(&i) && matches!(op(&n), "Conv" | "Gemm") {
            if let Some((quantized, scale)) = n.input.get(1).and_then(|w| quantize_weight(weights.get(w)?)) {
                let weight = n.input[1].clone();
                let back = format!("{weight}.float");
                if done.insert(weight.clone()) {
                    let zero = format!("{weight}.zero_point");
                    let inputs = [&quantized.name, &scale.name].map(|n| n.clone().unwrap_or_default());
                    let inputs = inputs.into_iter().chain([zero.clone()]).collect();
                    let unpack = node("DequantizeLinear", format!("{weight}/Dequantize"), inputs, back.clone(), Some(0));
                    extra.push(zero_point(&zero, &scale.dims));
                    extra.extend([quantized, scale]);
                    rewritten.push(unpack);
                }
                n.input[1] = back;
            }
        }
        rewritten.push(n);
        for edge in outputs {
            rewritten.extend(pairs.remove(&edge).into_iter().flatten());
        }
    }
    graph.node = rewritten;
    graph.initializer.extend(extra);
    let used: HashSet<&String> = graph.node.iter().flat_map(|n| &n.input).collect();
    let keep: Vec<bool> = graph.initializer.iter().map(|t| t.name.as_ref().is_some_and(|n| used.contains(n))).collect();
    let mut keep = keep.into_iter();
    graph.initializer.retain(|_| keep.next().unwrap_or(true));
    model
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_has_a_scale_for_each_output_channel() {
        let values = [1.0f32, -2.54, 0.5, 127.0, 0.0, 0.0];
        let weight = proto::Tensor {
            dims: vec![3, 2],
            data_type: Some(data_type::FLOAT),
            name: Some("w".into()),
            raw_data: Some(values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        };
        let (bytes, scale) = quantize_weight(&weight).unwrap();
        // 2.54 / 127 = 0.02: 1 becomes 50, -2.54 becomes -127. 127 / 127 = 1: 0.5 rounds to even, 0.
        assert_eq!(bytes.raw_data.unwrap().iter().map(|b| *b as i8).collect::<Vec<_>>(), [50, -127, 0, 127, 0, 0]);
        let scales: Vec<f32> =
            scale.raw_data.unwrap().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert_eq!(scales, [2.54 / 127.0, 1.0, LEAST]);
    }

    /// `x` → Conv → ReLU → last Conv → Concat: pairs stand around the first convolution (behind its ReLU), and nowhere else.
    #[test]
    fn nothing_behind_a_kept_layer_is_quantized() {
        let weight = |name: &str| proto::Tensor {
            dims: vec![1, 1, 1, 1],
            data_type: Some(data_type::FLOAT),
            name: Some(name.into()),
            raw_data: Some(1f32.to_le_bytes().to_vec()),
        };
        let step = |op: &str, name: &str, inputs: &[&str], output: &str| {
            node(op, name.into(), inputs.iter().map(|i| i.to_string()).collect(), output.into(), None)
        };
        let graph = proto::Graph {
            node: vec![
                step("Conv", "a/Conv", &["x", "w"], "e1"),
                step("Relu", "a/Relu", &["e1"], "e2"),
                step("Conv", "cls_logits/Conv", &["e2", "w2"], "e3"),
                step("Concat", "head/Concat", &["e3", "e3"], "e4"),
            ],
            initializer: vec![weight("w"), weight("w2")],
            input: vec![proto::ValueInfo { name: Some("x".into()), r#type: None }],
            ..Default::default()
        };
        let model = proto::Model { graph: Some(graph), ..Default::default() };
        assert_eq!(edges(&model, &["cls_logits"]), ["x", "e2"]);
        let quantized = quantize(&model, &Ranges([("x".into(), 12.7), ("e2".into(), 1.0)].into()), &["cls_logits"]);
        let graph = quantized.graph.unwrap();
        let find = |name: &str| graph.node.iter().find(|n| n.name.as_deref() == Some(name)).unwrap();
        assert_eq!(find("a/Conv").input, ["x.float", "w.float"]);
        assert_eq!(find("a/Relu").input, ["e1"]);
        assert_eq!(find("cls_logits/Conv").input, ["e2.float", "w2"]);
        assert_eq!(graph.node.iter().filter(|n| op(n) == "QuantizeLinear").count(), 2);
        let names: Vec<&str> = graph.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
        assert!(names.contains(&"w2") && names.contains(&"w.int8") && !names.contains(&"w"), "{names:?}");
    }
}
