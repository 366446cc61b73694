//! An exported file in NVIDIA's Triton inference server: its model configuration (`config.pbtxt`), from the file itself.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::error::ExportError;
use crate::metadata::{self, Metadata};
use crate::onnx::proto::{self, data_type};
use crate::parts::files::{sibling, write};

/// The configuration of a model that is called `name` there. Shapes are written out with the batch (`max_batch_size: 0`), as the file has
/// them; -1 is any number.
pub fn config(name: &str, file: &proto::Model) -> String {
    let mut text = format!("name: {name:?}\nbackend: \"onnxruntime\"\nmax_batch_size: 0\n");
    let Some(graph) = &file.graph else { return text };
    for (field, values) in [("input", &graph.input), ("output", &graph.output)] {
        let each: Vec<String> = values.iter().map(value).collect();
        // Writing into a string cannot fail.
        let _ = write!(text, "{field} [\n{}\n]\n", each.join(",\n"));
    }
    for (key, value) in &Metadata::of(file).0 {
        // The experiment is long, and in the file.
        if ["part", "network", "precision", "normalize", "classes"].contains(&key.as_str()) {
            let _ = writeln!(text, "parameters {{ key: {key:?} value {{ string_value: {value:?} }} }}");
        }
    }
    text
}

fn value(v: &proto::ValueInfo) -> String {
    let tensor = v.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let kind = match tensor.and_then(|t| t.elem_type) {
        Some(data_type::INT64) => "TYPE_INT64",
        Some(data_type::FLOAT16) => "TYPE_FP16",
        _ => "TYPE_FP32",
    };
    let dims = tensor.and_then(|t| t.shape.as_ref()).map_or(&[][..], |s| &s.dim);
    let dims: Vec<String> = dims.iter().map(|d| d.dim_value.unwrap_or(-1).to_string()).collect();
    format!("  {{ name: {:?} data_type: {kind} dims: [ {} ] }}", v.name.as_deref().unwrap_or_default(), dims.join(", "))
}

/// Writes `STEM.config.pbtxt` beside an exported file. In a model repository it is `STEM/config.pbtxt`, the file `STEM/1/model.onnx`.
///
/// # Errors
/// The disk's; a file that is no ONNX file.
pub fn write_config(file: &Path) -> Result<PathBuf, ExportError> {
    let bytes = metadata::read(file)?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let path = sibling(file, ".config", "pbtxt");
    write(&path, config(&name, &metadata::decode(file, &bytes)?).as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_types_and_classes_are_those_of_the_file() {
        let dimension = |v: Option<i64>| proto::Dimension { dim_value: v, dim_param: None };
        let value = |name: &str, kind: i32, dims: &[Option<i64>]| proto::ValueInfo {
            name: Some(name.into()),
            r#type: Some(proto::Type {
                tensor_type: Some(proto::TensorType {
                    elem_type: Some(kind),
                    shape: Some(proto::Shape { dim: dims.iter().map(|d| dimension(*d)).collect() }),
                }),
            }),
        };
        let graph = proto::Graph {
            input: vec![value("images", data_type::FLOAT, &[None, Some(3), Some(64), Some(96)])],
            output: vec![value("labels", data_type::INT64, &[None, Some(40)])],
            ..proto::Graph::default()
        };
        let mut file = proto::Model { graph: Some(graph), ..proto::Model::default() };
        Metadata(vec![("classes".into(), r#"[{"id":1,"name":"ant"}]"#.into()), ("experiment".into(), "long".into())])
            .append(&mut file);
        let expected = "name: \"det\"\nbackend: \"onnxruntime\"\nmax_batch_size: 0\n\
                        input [\n  { name: \"images\" data_type: TYPE_FP32 dims: [ -1, 3, 64, 96 ] }\n]\n\
                        output [\n  { name: \"labels\" data_type: TYPE_INT64 dims: [ -1, 40 ] }\n]\n\
                        parameters { key: \"classes\" value { string_value: \"[{\\\"id\\\":1,\\\"name\\\":\\\"ant\\\"}]\" } }\n";
        assert_eq!(config("det", &file), expected);
    }
}
