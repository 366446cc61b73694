//! onnxruntime, loaded at run time: the reference that every export is checked with, and the fast path on a CPU.
//!
//! The library is looked for at `ORT_DYLIB_PATH`, then in `.deps/onnxruntime` of the folder that the binary was built in (where
//! `make setup` puts it), then in `.deps/onnxruntime` of the present folder.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;

use super::NamedOutput;
use crate::error::ExportError;

const LIBRARY: &str = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };

/// A loaded model.
#[derive(Debug)]
pub struct OnnxRuntime {
    session: Session,
}

/// Where the library may lie, in order.
pub fn candidates() -> Vec<PathBuf> {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.deps/onnxruntime").join(LIBRARY);
    std::env::var_os("ORT_DYLIB_PATH")
        .map(PathBuf::from)
        .into_iter()
        .chain([built_in, Path::new(".deps/onnxruntime").join(LIBRARY)])
        .collect()
}

/// The library that will be loaded, if there is one.
pub fn find() -> Option<PathBuf> {
    candidates().into_iter().find(|p| p.is_file())
}

fn failure(e: impl std::fmt::Display) -> ExportError {
    let text = e.to_string();
    ExportError::Runtime { runtime: "onnxruntime", message: text.lines().next().unwrap_or_default().to_string() }
}

fn environment() -> Result<&'static Environment, ExportError> {
    static ENVIRONMENT: OnceLock<Result<Environment, String>> = OnceLock::new();
    let path = find().ok_or_else(|| ExportError::RuntimeMissing {
        looked: candidates().iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
    })?;
    ENVIRONMENT
        .get_or_init(|| {
            let builder = ort::init_from(&path).map_err(|e| e.to_string())?;
            builder.with_telemetry(false).build().map_err(|e| e.to_string())
        })
        .as_ref()
        .map_err(failure)
}

impl OnnxRuntime {
    /// Loads a model from the bytes of a file, to run on `threads` threads.
    ///
    /// # Errors
    /// No library, or a file that onnxruntime refuses.
    pub fn from_bytes(bytes: &[u8], threads: usize) -> Result<Self, ExportError> {
        // Idle pools of several sessions would spin and fight for the cores.
        let mut builder = Session::builder(environment()?)
            .map_err(failure)?
            .with_intra_threads(threads)
            .map_err(failure)?
            .with_intra_op_spinning(false)
            .map_err(failure)?;
        Ok(Self { session: builder.commit_from_memory(bytes).map_err(failure)? })
    }

    /// Loads a file.
    ///
    /// # Errors
    /// As [`OnnxRuntime::from_bytes`], and an unreadable file.
    pub fn from_file(path: &Path, threads: usize) -> Result<Self, ExportError> {
        let bytes = std::fs::read(path).map_err(|source| ExportError::Io { path: path.into(), source })?;
        Self::from_bytes(&bytes, threads)
    }

    /// Runs a model that has one input.
    ///
    /// # Errors
    /// What onnxruntime says of it.
    pub fn run(&mut self, shape: &[i64], values: &[f32]) -> Result<Vec<NamedOutput>, ExportError> {
        self.run_with(shape, values, |name, shape, data| NamedOutput {
            name: name.into(),
            shape: shape.to_vec(),
            data: match data {
                Data::Float(v) => v.to_vec(),
                Data::Int(v) => v.iter().map(|v| *v as f32).collect(),
            },
        })
    }

    /// Runs a model that has one input and hands each output to `take`, without a copy.
    ///
    /// # Errors
    /// What onnxruntime says of it.
    pub fn run_with<T>(
        &mut self,
        shape: &[i64],
        values: &[f32],
        mut take: impl FnMut(&str, &[i64], Data) -> T,
    ) -> Result<Vec<T>, ExportError> {
        let input = TensorRef::from_array_view((shape.to_vec(), values)).map_err(failure)?;
        let outputs = self.session.run(ort::inputs![input]).map_err(failure)?;
        outputs
            .iter()
            .map(|(name, value)| match value.try_extract_tensor::<f32>() {
                Ok((shape, data)) => Ok(take(name, shape, Data::Float(data))),
                Err(_) => {
                    let (shape, data) = value.try_extract_tensor::<i64>().map_err(failure)?;
                    Ok(take(name, shape, Data::Int(data)))
                }
            })
            .collect()
    }
}

/// Elements of an output, row-major.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// 32-bit floats.
    Float(&'a [f32]),
    /// 64-bit integers.
    Int(&'a [i64]),
}
