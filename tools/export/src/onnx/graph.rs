//! A graph under construction: nodes, constants, unique names.

use std::collections::HashMap;

use tch::{Kind, Tensor};

use super::proto::{self, attribute_type, data_type};

/// Operator set that files are written for: the newest that TensorRT 8.6 to 11 and all common runtimes read alike.
pub const OPSET: i64 = 17;
/// Version of the file format that goes with [`OPSET`].
pub const IR_VERSION: i64 = 8;
/// Name of the dynamic batch dimension.
pub const BATCH_NAME: &str = "N";
/// Size of a dimension that is only fixed at run time.
pub const DYNAMIC: i64 = -1;

/// Element type of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 64-bit integer.
    I64,
    /// Truth value.
    Bool,
}

impl ElementType {
    /// The format's number for it.
    pub fn code(self) -> i32 {
        match self {
            ElementType::F32 => data_type::FLOAT,
            ElementType::F16 => data_type::FLOAT16,
            ElementType::I64 => data_type::INT64,
            ElementType::Bool => data_type::BOOL,
        }
    }
}

/// A value that flows between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Name in the file.
    pub name: String,
    /// Sizes; the first is [`DYNAMIC`] where the batch is.
    pub shape: Vec<i64>,
    /// Element type.
    pub element: ElementType,
}

/// A setting of a node.
#[derive(Clone, Debug)]
pub enum Attribute<'a> {
    /// A float.
    Float(f32),
    /// An integer.
    Int(i64),
    /// Integers.
    Ints(&'a [i64]),
    /// A string.
    Text(&'a str),
}

/// Nodes, constants and the name scope.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    graph: proto::Graph,
    scope: Vec<String>,
    used: HashMap<String, usize>,
    constants: HashMap<Vec<u8>, String>,
    parameters: HashMap<(String, usize, i32), Edge>,
}

impl GraphBuilder {
    /// Enters a name scope.
    pub fn push_scope(&mut self, name: &str) {
        self.scope.push(name.to_string());
    }

    /// Leaves the innermost name scope.
    pub fn pop_scope(&mut self) {
        self.scope.pop();
    }

    /// Leaves all scopes; [`GraphBuilder::enter_scopes`] goes back.
    pub fn leave_scopes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.scope)
    }

    /// Goes back to where [`GraphBuilder::leave_scopes`] left.
    pub fn enter_scopes(&mut self, scope: Vec<String>) {
        self.scope = scope;
    }

    fn path(&self, leaf: &str, separator: &str) -> String {
        if self.scope.is_empty() {
            leaf.to_string()
        } else {
            format!("{}{separator}{leaf}", self.scope.join("."))
        }
    }

    /// `name`, or `name_2`, `name_3`, … where it is taken.
    fn unique(&mut self, name: String) -> String {
        let count = self.used.entry(name.clone()).or_insert(0);
        *count += 1;
        if *count == 1 {
            name
        } else {
            let numbered = format!("{name}_{count}");
            self.unique(numbered)
        }
    }

    /// Declares an input.
    pub fn input(&mut self, name: &str, shape: &[i64], element: ElementType) -> Edge {
        let edge = Edge { name: self.unique(name.to_string()), shape: shape.to_vec(), element };
        self.graph.input.push(value_info(&edge));
        edge
    }

    /// Declares `edge` as the output `name`.
    pub fn output(&mut self, name: &str, edge: &Edge) {
        let out = Edge { name: self.unique(name.to_string()), ..edge.clone() };
        self.graph.node.push(proto::Node {
            input: vec![edge.name.clone()],
            output: vec![out.name.clone()],
            name: Some(format!("output/{name}")),
            op_type: Some("Identity".into()),
            attribute: vec![],
        });
        self.graph.output.push(value_info(&out));
    }

    /// Adds a node with one output.
    pub fn node(
        &mut self,
        op: &str,
        inputs: &[&Edge],
        settings: &[(&str, Attribute)],
        shape: Vec<i64>,
        element: ElementType,
    ) -> Edge {
        let inputs: Vec<String> = inputs.iter().map(|e| e.name.clone()).collect();
        let mut outputs = self.raw_node(op, inputs, settings, 1);
        Edge { name: outputs.remove(0), shape, element }
    }

    /// Adds a node with any number of outputs and gives their names; an empty input name leaves an optional input out.
    pub fn raw_node(&mut self, op: &str, inputs: Vec<String>, settings: &[(&str, Attribute)], outputs: usize) -> Vec<String> {
        let name = self.unique(self.path(op, "/"));
        let output: Vec<String> =
            (0..outputs).map(|i| if i == 0 { format!("{name}:0") } else { format!("{name}:{i}") }).collect();
        self.graph.node.push(proto::Node {
            input: inputs,
            output: output.clone(),
            name: Some(name),
            op_type: Some(op.to_string()),
            attribute: settings.iter().map(|(name, setting)| attribute(name, setting)).collect(),
        });
        output
    }

    /// A named constant of the module in scope (`weight`, `bias`), in the element type asked for. A layer that runs several times (a head on
    /// all levels) is stored once.
    pub fn parameter(&mut self, leaf: &str, tensor: &Tensor, element: ElementType) -> Edge {
        let path = self.path(leaf, ".");
        let key = (path.clone(), tensor.data_ptr() as usize, element.code());
        if let Some(edge) = self.parameters.get(&key) {
            return edge.clone();
        }
        let name = self.unique(path);
        let edge = self.store(name, tensor, element);
        self.parameters.insert(key, edge.clone());
        edge
    }

    /// An unnamed constant; equal ones are stored once.
    pub fn constant(&mut self, tensor: &Tensor, element: ElementType) -> Edge {
        let shape = tensor.size();
        let mut key = bytes(tensor, element);
        key.extend(shape.iter().flat_map(|d| d.to_le_bytes()));
        key.push(element.code() as u8);
        if let Some(name) = self.constants.get(&key) {
            return Edge { name: name.clone(), shape, element };
        }
        let name = self.unique(format!("constant.{}", self.constants.len()));
        self.constants.insert(key, name.clone());
        self.store(name, tensor, element)
    }

    /// A constant list of integers `[n]`.
    pub fn ints(&mut self, values: &[i64]) -> Edge {
        self.constant(&Tensor::from_slice(values), ElementType::I64)
    }

    /// A constant scalar.
    pub fn scalar(&mut self, value: f64, element: ElementType) -> Edge {
        self.constant(&Tensor::from(value), element)
    }

    fn store(&mut self, name: String, tensor: &Tensor, element: ElementType) -> Edge {
        self.graph.initializer.push(proto::Tensor {
            dims: tensor.size(),
            data_type: Some(element.code()),
            name: Some(name.clone()),
            raw_data: Some(bytes(tensor, element)),
        });
        Edge { name, shape: tensor.size(), element }
    }

    /// The finished file.
    pub fn finish(mut self, graph_name: &str, metadata: &[(String, String)]) -> proto::Model {
        self.graph.name = Some(graph_name.to_string());
        proto::Model {
            ir_version: Some(IR_VERSION),
            producer_name: Some("repghost-det".into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            model_version: Some(1),
            graph: Some(self.graph),
            opset_import: vec![proto::OperatorSet { domain: Some(String::new()), version: Some(OPSET) }],
            metadata_props: metadata
                .iter()
                .map(|(k, v)| proto::StringEntry { key: Some(k.clone()), value: Some(v.clone()) })
                .collect(),
        }
    }
}

fn value_info(edge: &Edge) -> proto::ValueInfo {
    let dim = edge
        .shape
        .iter()
        .map(|&d| match d {
            DYNAMIC => proto::Dimension { dim_value: None, dim_param: Some(BATCH_NAME.into()) },
            _ => proto::Dimension { dim_value: Some(d), dim_param: None },
        })
        .collect();
    proto::ValueInfo {
        name: Some(edge.name.clone()),
        r#type: Some(proto::Type {
            tensor_type: Some(proto::TensorType { elem_type: Some(edge.element.code()), shape: Some(proto::Shape { dim }) }),
        }),
    }
}

fn attribute(name: &str, setting: &Attribute) -> proto::Attribute {
    let mut a = proto::Attribute { name: Some(name.to_string()), ..Default::default() };
    match setting {
        Attribute::Float(v) => (a.kind, a.f) = (Some(attribute_type::FLOAT), Some(*v)),
        Attribute::Int(v) => (a.kind, a.i) = (Some(attribute_type::INT), Some(*v)),
        Attribute::Ints(v) => (a.kind, a.ints) = (Some(attribute_type::INTS), v.to_vec()),
        Attribute::Text(v) => (a.kind, a.s) = (Some(attribute_type::STRING), Some(v.as_bytes().to_vec())),
    }
    a
}

/// Little-endian elements, row-major.
fn bytes(tensor: &Tensor, element: ElementType) -> Vec<u8> {
    let kind = match element {
        ElementType::F32 => Kind::Float,
        ElementType::F16 => Kind::Half,
        ElementType::I64 => Kind::Int64,
        ElementType::Bool => Kind::Bool,
    };
    let t = tensor.detach().to_device(tch::Device::Cpu).to_kind(kind).contiguous();
    let mut out = vec![0u8; t.numel() * kind.elt_size_in_bytes()];
    // Every target that libtorch runs on is little-endian.
    t.copy_data_u8(&mut out, t.numel());
    out
}
