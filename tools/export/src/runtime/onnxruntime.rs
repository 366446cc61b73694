//! onnxruntime, loaded at run time: the reference that every export is checked with, and the fast path on a CPU.
//!
//! The library is looked for at `ORT_DYLIB_PATH`, then in `.deps/onnxruntime` of the folder that the binary was built in (where
//! `make setup` puts it), then in `.deps/onnxruntime` of the present folder.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::ep::ExecutionProvider;
use ort::session::builder::SessionBuilder;
use ort::session::SessionInputValue;
use ort::value::TensorRef;

use super::session::{Data, Input, Session, Settings, Take};
use crate::error::ExportError;

const LIBRARY: &str = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };

/// Whether the library is found and loads.
///
/// # Errors
/// Where it was looked for.
pub fn check() -> Result<(), ExportError> {
    environment().map(|_| ())
}

/// Whether the library that is found can run TensorRT engines.
///
/// # Errors
/// What is missing, and where it comes from.
pub fn check_tensorrt() -> Result<(), ExportError> {
    environment()?;
    if has_tensorrt() {
        return Ok(());
    }
    let library = find().map_or_else(String::new, |p| p.display().to_string());
    let driver = match Path::new("/dev/nvidiactl").exists() {
        true => "",
        false => "this machine has no NVIDIA driver (/dev/nvidiactl), and ",
    };
    Err(ExportError::NoRuntime {
        runtime: "tensorrt",
        missing: format!(
            "{driver}{library} has no TensorRT execution provider: set ORT_DYLIB_PATH to the library of onnxruntime-gpu, with \
             TensorRT's libnvinfer on LD_LIBRARY_PATH"
        ),
    })
}

fn has_tensorrt() -> bool {
    ort::ep::TensorRT::is_available().unwrap_or(false)
}

/// A loaded model.
#[derive(Debug)]
pub struct OnnxRuntime {
    session: ort::session::Session,
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

/// What runs the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provider {
    /// onnxruntime's own kernels.
    Cpu,
    /// TensorRT engines on the first NVIDIA GPU, built by onnxruntime when a file is loaded.
    TensorRt,
}

fn builder(settings: Settings, provider: Provider) -> Result<SessionBuilder, ExportError> {
    let mut builder = ort::session::Session::builder(environment()?)
        .map_err(failure)?
        .with_intra_threads(settings.threads)
        .map_err(failure)?
        .with_intra_op_spinning(settings.spin)
        .map_err(failure)?;
    if provider == Provider::TensorRt {
        let tensorrt = ort::ep::TensorRT::default().build().error_on_failure();
        builder = builder.with_execution_providers([tensorrt]).map_err(failure)?;
    }
    Ok(builder)
}

/// Loads a file for the CPU.
///
/// # Errors
/// No library, or a file that onnxruntime refuses.
pub fn open(bytes: &[u8], settings: Settings) -> Result<Box<dyn Session + Send>, ExportError> {
    let session = builder(settings, Provider::Cpu)?.commit_from_memory(bytes).map_err(failure)?;
    Ok(Box::new(OnnxRuntime { session }))
}

/// Loads a file as a TensorRT engine.
///
/// # Errors
/// As [`open`]; an engine that cannot be built.
pub fn open_tensorrt(bytes: &[u8], settings: Settings) -> Result<Box<dyn Session + Send>, ExportError> {
    let session = builder(settings, Provider::TensorRt)?.commit_from_memory(bytes).map_err(failure)?;
    Ok(Box::new(OnnxRuntime { session }))
}

impl OnnxRuntime {
    /// Loads a model that records how long each node takes: run it, then call [`OnnxRuntime::profile`]. `prefix` is the path of the file
    /// without its ending.
    ///
    /// # Errors
    /// As [`open`].
    pub fn profiled(bytes: &[u8], settings: Settings, prefix: &Path) -> Result<Self, ExportError> {
        let mut builder = builder(settings, Provider::Cpu)?.with_profiling(prefix).map_err(failure)?;
        Ok(Self { session: builder.commit_from_memory(bytes).map_err(failure)? })
    }

    /// The path of the profile, a list of trace events in JSON. No more is written afterwards.
    ///
    /// # Errors
    /// onnxruntime's own.
    pub fn profile(&mut self) -> Result<PathBuf, ExportError> {
        self.session.end_profiling().map(PathBuf::from).map_err(failure)
    }
}

impl Session for OnnxRuntime {
    fn run(&mut self, inputs: &[Input], take: Take) -> Result<(), ExportError> {
        let values = inputs.iter().map(|input| {
            let view = TensorRef::from_array_view((input.shape.to_vec(), input.values)).map_err(failure)?;
            Ok(SessionInputValue::from(view))
        });
        let values: Vec<SessionInputValue> = values.collect::<Result<_, ExportError>>()?;
        let outputs = self.session.run(values.as_slice()).map_err(failure)?;
        for (name, value) in outputs.iter() {
            match value.try_extract_tensor::<f32>() {
                Ok((shape, data)) => take(name, shape, Data::Float(data)),
                Err(_) => {
                    let (shape, data) = value.try_extract_tensor::<i64>().map_err(failure)?;
                    take(name, shape, Data::Int(data));
                }
            }
        }
        Ok(())
    }
}
