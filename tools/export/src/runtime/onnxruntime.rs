//! onnxruntime, loaded at run time: the reference that every export is checked with, and the fast path on a CPU.
//!
//! The library is looked for at `ORT_DYLIB_PATH`, then in `.deps/onnxruntime` of the folder that the binary was built in (where
//! `make setup` puts it), then in `.deps/onnxruntime` of the present folder.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::ep::ExecutionProvider;
use ort::session::builder::SessionBuilder;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use super::NamedOutput;
use crate::error::ExportError;

const LIBRARY: &str = if cfg!(target_os = "macos") { "libonnxruntime.dylib" } else { "libonnxruntime.so" };

/// What runs the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// onnxruntime's own kernels.
    #[default]
    Cpu,
    /// TensorRT engines on the first NVIDIA GPU, built by onnxruntime when a file is loaded.
    TensorRt,
}

impl Provider {
    /// Whether the library that is found can run it.
    ///
    /// # Errors
    /// What is missing, and where it comes from.
    pub fn check(self) -> Result<(), ExportError> {
        environment()?;
        if self == Self::Cpu || has_tensorrt() {
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
                 TensorRT's libnvinfer on LD_LIBRARY_PATH. Without a GPU, `make check-tensorrt` proves that the exported files build"
            ),
        })
    }
}

fn has_tensorrt() -> bool {
    ort::ep::TensorRT::is_available().unwrap_or(false)
}

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

/// How a model is run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Threads within a run.
    pub threads: usize,
    /// What runs the nodes.
    pub provider: Provider,
    /// Whether threads spin while they wait. Faster for one session alone; idle pools of several would fight for the cores.
    pub spin: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threads: 1, provider: Provider::Cpu, spin: false }
    }
}

fn builder(settings: Settings) -> Result<SessionBuilder, ExportError> {
    let mut builder = Session::builder(environment()?)
        .map_err(failure)?
        .with_intra_threads(settings.threads)
        .map_err(failure)?
        .with_intra_op_spinning(settings.spin)
        .map_err(failure)?;
    if settings.provider == Provider::TensorRt {
        let tensorrt = ort::ep::TensorRT::default().build().error_on_failure();
        builder = builder.with_execution_providers([tensorrt]).map_err(failure)?;
    }
    Ok(builder)
}

impl OnnxRuntime {
    /// Loads a model from the bytes of a file, to run on `threads` threads of the CPU.
    ///
    /// # Errors
    /// No library, or a file that onnxruntime refuses.
    pub fn from_bytes(bytes: &[u8], threads: usize) -> Result<Self, ExportError> {
        Self::new(bytes, Settings { threads, ..Settings::default() })
    }

    /// Loads a model from the bytes of a file.
    ///
    /// # Errors
    /// As [`OnnxRuntime::from_bytes`]; a provider that cannot be set up.
    pub fn new(bytes: &[u8], settings: Settings) -> Result<Self, ExportError> {
        let mut builder = builder(settings)?;
        Ok(Self { session: builder.commit_from_memory(bytes).map_err(failure)? })
    }

    /// Loads a model that writes down how long each node takes: run it, then call [`OnnxRuntime::profile`]. `prefix` is the path of the file
    /// without its ending.
    ///
    /// # Errors
    /// As [`OnnxRuntime::new`].
    pub fn profiled(bytes: &[u8], settings: Settings, prefix: &Path) -> Result<Self, ExportError> {
        let mut builder = builder(settings)?.with_profiling(prefix).map_err(failure)?;
        Ok(Self { session: builder.commit_from_memory(bytes).map_err(failure)? })
    }

    /// The path of the profile, a list of trace events in JSON. No more is written afterwards.
    ///
    /// # Errors
    /// What onnxruntime says of it.
    pub fn profile(&mut self) -> Result<PathBuf, ExportError> {
        self.session.end_profiling().map(PathBuf::from).map_err(failure)
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

    /// Runs a model that has any number of inputs, in their order, and drops what it gives.
    ///
    /// # Errors
    /// What onnxruntime says of it.
    pub fn run_inputs(&mut self, inputs: &[(Vec<i64>, Vec<f32>)]) -> Result<(), ExportError> {
        let values = inputs.iter().map(|(shape, values)| {
            let view = TensorRef::from_array_view((shape.clone(), values.as_slice())).map_err(failure)?;
            Ok(SessionInputValue::from(view))
        });
        let values: Vec<SessionInputValue> = values.collect::<Result<_, ExportError>>()?;
        self.session.run(values.as_slice()).map(|_| ()).map_err(failure)
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
