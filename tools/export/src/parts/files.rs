//! The files of a part, in memory and on disk.

use std::path::{Path, PathBuf};

use repghost_files::write_atomic;

use crate::error::ExportError;
use crate::onnx::proto;
use crate::sidecar::RawSidecar;
use crate::spec::encode;

/// One ONNX file.
#[derive(Clone, Debug)]
pub struct File {
    /// Inserted between the stem of the output's name and its extension; empty for the main file.
    pub suffix: &'static str,
    /// Its content.
    pub model: proto::Model,
}

/// The files of a part, the main one first.
#[derive(Clone, Debug)]
pub struct Built {
    /// The files.
    pub files: Vec<File>,
    /// How to decode raw outputs.
    pub sidecar: Option<RawSidecar>,
}

impl Built {
    /// A part that is a single file.
    pub fn one(model: proto::Model) -> Self {
        Self { files: vec![File { suffix: "", model }], sidecar: None }
    }

    /// Nodes of all graphs.
    pub fn nodes(&self) -> usize {
        self.files.iter().map(|f| f.model.graph.as_ref().map_or(0, |g| g.node.len())).sum()
    }

    /// Writes `output` and its siblings; returns their paths, the main file first.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, output: &Path) -> Result<Vec<PathBuf>, ExportError> {
        let mut paths = vec![];
        for file in &self.files {
            let path = if file.suffix.is_empty() { output.to_path_buf() } else { sibling(output, file.suffix, "onnx") };
            write(&path, &encode(&file.model))?;
            paths.push(path);
        }
        if let Some(sidecar) = &self.sidecar {
            let path = output.with_extension("json");
            let text = serde_json::to_vec(sidecar).map_err(|e| ExportError::Format { path: path.clone(), why: e.to_string() })?;
            write(&path, &text)?;
            paths.push(path);
        }
        Ok(paths)
    }
}

/// `F.onnx` with `suffix` before its extension, or with another extension.
pub fn sibling(output: &Path, suffix: &str, extension: &str) -> PathBuf {
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    output.with_file_name(format!("{stem}{suffix}.{extension}"))
}

/// Writes a file as a whole or not at all. Folders above it are made.
///
/// # Errors
/// The disk's.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    use std::io::Write;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(ExportError::io(parent))?;
    }
    let result: Result<(), std::io::Error> = write_atomic(path, |file| file.write_all(bytes));
    result.map_err(ExportError::io(path))
}
