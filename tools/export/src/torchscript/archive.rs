//! The archive that `torch.jit.load` reads: a zip of source code, a pickle of the module tree, and the bytes of each tensor.
//!
//! The format is PyTorch's (`torch/csrc/jit/serialization`): `code/__torch__.py` declares a class for each module, `data.pkl` builds the objects,
//! `data/N` are the tensors' bytes, `constants.pkl` is an empty tuple.

use std::io::{self, Cursor, Write};

use tch::Kind;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::writer::{Attribute, TorchScriptWriter};

/// Top folder of the archive.
const ROOT: &str = "network";
/// Version of the file format: PyTorch 1.10 and later.
const VERSION: &str = "10\n";
/// Tensors start at multiples of this, so that files can be mapped.
const ALIGNMENT: u16 = 64;
/// Name of the input.
pub const INPUT: &str = "images";

/// Bytes of the pickle machine's operations.
mod op {
    pub const PROTO: &[u8] = b"\x80\x02";
    pub const STOP: u8 = b'.';
    pub const MARK: u8 = b'(';
    pub const TUPLE: u8 = b't';
    pub const EMPTY_TUPLE: u8 = b')';
    pub const EMPTY_DICT: u8 = b'}';
    pub const SET_ITEMS: u8 = b'u';
    pub const NEW_OBJECT: u8 = 0x81;
    pub const BUILD: u8 = b'b';
    pub const GLOBAL: u8 = b'c';
    pub const REDUCE: u8 = b'R';
    pub const PERSISTENT_ID: u8 = b'Q';
    pub const UNICODE: u8 = b'X';
    pub const INT: u8 = b'J';
    pub const LONG: u8 = 0x8a;
    pub const FALSE: u8 = 0x89;
}

/// A module: its own tensors and its children.
#[derive(Default)]
struct Node {
    tensors: Vec<usize>,
    children: Vec<(String, usize)>,
}

/// All modules; the first is the root.
struct Modules {
    nodes: Vec<Node>,
}

impl Modules {
    fn of(attributes: &[Attribute]) -> Self {
        let mut nodes = vec![Node::default()];
        for (i, h) in attributes.iter().enumerate() {
            let mut at = 0;
            for name in &h.module {
                at = match nodes[at].children.iter().find(|(n, _)| n == name) {
                    Some((_, child)) => *child,
                    None => {
                        nodes.push(Node::default());
                        let child = nodes.len() - 1;
                        nodes[at].children.push((name.clone(), child));
                        child
                    }
                };
            }
            nodes[at].tensors.push(i);
        }
        Self { nodes }
    }

    fn code(&self, attributes: &[Attribute], lines: &[String], outputs: &[String]) -> String {
        let mut text = String::new();
        for (i, node) in self.nodes.iter().enumerate() {
            let names = |parameter: bool| {
                let of = node.tensors.iter().map(|t| &attributes[*t]).filter(|h| h.parameter == parameter);
                of.map(|h| format!("\"{}\", ", h.leaf)).collect::<String>()
            };
            text.push_str(&format!("class M{i}(Module):\n"));
            text.push_str(&format!("  __parameters__ = [{}]\n  __buffers__ = [{}]\n", names(true), names(false)));
            text.push_str("  __annotations__ = []\n");
            for t in &node.tensors {
                text.push_str(&format!("  {} : Tensor\n", attributes[*t].leaf));
            }
            text.push_str("  training : bool\n");
            for (name, child) in &node.children {
                text.push_str(&format!("  __annotations__[\"{name}\"] = __torch__.M{child}\n"));
            }
            if i == 0 {
                let (kind, result) = match outputs {
                    [one] => ("Tensor".to_string(), one.clone()),
                    several => {
                        (format!("Tuple[{}]", vec!["Tensor"; several.len()].join(", ")), format!("({})", several.join(", ")))
                    }
                };
                text.push_str(&format!("  def forward(self: __torch__.M0,\n    {INPUT}: Tensor) -> {kind}:\n"));
                for line in lines {
                    text.push_str(&format!("    {line}\n"));
                }
                text.push_str(&format!("    return {result}\n"));
            }
        }
        text
    }

    fn pickle(&self, attributes: &[Attribute]) -> Vec<u8> {
        let mut out = op::PROTO.to_vec();
        self.object(0, attributes, &mut out);
        out.push(op::STOP);
        out
    }

    fn object(&self, at: usize, attributes: &[Attribute], out: &mut Vec<u8>) {
        global("__torch__", &format!("M{at}"), out);
        out.extend([op::EMPTY_TUPLE, op::NEW_OBJECT, op::EMPTY_DICT, op::MARK]);
        let node = &self.nodes[at];
        for t in &node.tensors {
            text(attributes[*t].leaf, out);
            tensor(*t, &attributes[*t], out);
        }
        text("training", out);
        out.push(op::FALSE);
        for (name, child) in &node.children {
            text(name, out);
            self.object(*child, attributes, out);
        }
        out.extend([op::SET_ITEMS, op::BUILD]);
    }
}

fn global(module: &str, name: &str, out: &mut Vec<u8>) {
    out.push(op::GLOBAL);
    out.extend(format!("{module}\n{name}\n").as_bytes());
}

fn text(value: &str, out: &mut Vec<u8>) {
    out.push(op::UNICODE);
    out.extend((value.len() as u32).to_le_bytes());
    out.extend(value.as_bytes());
}

fn int(value: i64, out: &mut Vec<u8>) {
    match i32::try_from(value) {
        Ok(small) => {
            out.push(op::INT);
            out.extend(small.to_le_bytes());
        }
        Err(_) => {
            out.extend([op::LONG, 8]);
            out.extend(value.to_le_bytes());
        }
    }
}

fn tuple(values: &[i64], out: &mut Vec<u8>) {
    out.push(op::MARK);
    values.iter().for_each(|v| int(*v, out));
    out.push(op::TUPLE);
}

fn tensor(number: usize, attribute: &Attribute, out: &mut Vec<u8>) {
    let size = attribute.tensor.size();
    let mut strides = vec![1; size.len()];
    for i in (1..size.len()).rev() {
        strides[i - 1] = strides[i] * size[i].max(1);
    }
    global("torch._utils", "_rebuild_tensor_v2", out);
    out.extend([op::MARK, op::MARK]);
    text("storage", out);
    global("torch", "FloatStorage", out);
    text(&number.to_string(), out);
    text("cpu", out);
    int(attribute.tensor.numel() as i64, out);
    out.extend([op::TUPLE, op::PERSISTENT_ID]);
    int(0, out);
    tuple(&size, out);
    tuple(&strides, out);
    out.push(op::FALSE);
    global("collections", "OrderedDict", out);
    out.extend([op::EMPTY_TUPLE, op::REDUCE, op::TUPLE, op::REDUCE]);
}

/// The file of a program that gives `outputs` (names of its variables).
///
/// # Errors
/// None in memory but what the zip writer finds.
pub fn write(script: &TorchScriptWriter, outputs: &[String]) -> io::Result<Vec<u8>> {
    let modules = Modules::of(&script.attributes);
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored).with_alignment(ALIGNMENT).large_file(false);
    let mut add = |name: String, bytes: &[u8]| -> io::Result<()> {
        zip.start_file(format!("{ROOT}/{name}"), options).map_err(io::Error::other)?;
        zip.write_all(bytes)
    };
    add("data.pkl".into(), &modules.pickle(&script.attributes))?;
    add("code/__torch__.py".into(), modules.code(&script.attributes, &script.lines, outputs).as_bytes())?;
    add("constants.pkl".into(), &[op::PROTO, &[op::EMPTY_TUPLE, op::STOP]].concat())?;
    for (i, attribute) in script.attributes.iter().enumerate() {
        let plain = attribute.tensor.detach().to_device(tch::Device::Cpu).to_kind(Kind::Float).contiguous();
        let mut bytes = vec![0u8; 4 * plain.numel()];
        // Every target that libtorch runs on is little-endian.
        plain.copy_data_u8(&mut bytes, plain.numel());
        add(format!("data/{i}"), &bytes)?;
    }
    add("byteorder".into(), b"little")?;
    add("version".into(), VERSION.as_bytes())?;
    zip.finish().map(Cursor::into_inner).map_err(io::Error::other)
}
