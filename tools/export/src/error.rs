//! What can go wrong on the way out.

use std::path::PathBuf;

use repghost_train::error::TrainError;

/// Why an export or a run of an exported file failed.
///
/// Options are named as the fields of [`ExportOptions`](crate::export::ExportOptions): `size`, `part`, `precision`, …
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// An option that does not fit the model, or the other options.
    #[error("{option} {value}: {why}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: String,
        /// Why it cannot be met, and what can.
        why: String,
    },
    /// A benchmark plan that cannot be run.
    #[error("{key}: {why}")]
    Plan {
        /// Dotted key of the plan.
        key: &'static str,
        /// What is expected.
        why: String,
    },
    /// onnxruntime is not installed.
    #[error("onnxruntime was not found (looked at {looked}): set ORT_DYLIB_PATH to libonnxruntime.so")]
    RuntimeMissing {
        /// Where it was looked for.
        looked: String,
    },
    /// The runtime refused a file or a run.
    #[error("{runtime}: {message}")]
    Runtime {
        /// Which runtime.
        runtime: &'static str,
        /// Its first line.
        message: String,
    },
    /// A file's outputs do not belong to the detector.
    #[error(transparent)]
    Outputs(#[from] repghost_heads::DecodeError),
    /// The exported file computes something else.
    #[error(
        "the exported file differs from the model: output '{output}' by {difference:.3e}, more than {tolerance:.0e}; the file was not kept"
    )]
    Parity {
        /// Output that differs most.
        output: String,
        /// Largest absolute difference, relative to the output's scale.
        difference: f64,
        /// What is allowed.
        tolerance: f64,
    },
    /// Too many of the model's detections are not among the file's.
    #[error(
        "the exported file finds other objects: {missing} of {total} detections of the model are missing; the file was not kept. Where many \
         boxes overlap, as with a young model, suppression in plain operators ends too early: take more nms_rounds, nms onnx, or a higher \
         eval.score_threshold"
    )]
    ParityDetections {
        /// Detections of the model without a counterpart.
        missing: usize,
        /// All of them.
        total: usize,
    },
    /// A runtime is not there.
    #[error("runtime {runtime}: {missing}")]
    NoRuntime {
        /// The runtime asked for.
        runtime: &'static str,
        /// What is missing, and where it comes from.
        missing: String,
    },
    /// Arguments that do not go together.
    #[error("{0}")]
    Arguments(String),
    /// The model, its data or its weights.
    #[error(transparent)]
    Model(#[from] TrainError),
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {why}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl ExportError {
    /// A part that a model does not have.
    pub fn part(part: &str, why: impl Into<String>) -> Self {
        Self::Option { option: "part", value: part.into(), why: why.into() }
    }

    /// The option that the text begins with, where it is about one.
    pub fn option(&self) -> Option<&'static str> {
        match self {
            Self::Option { option, .. } => Some(option),
            Self::NoRuntime { .. } => Some("runtime"),
            _ => None,
        }
    }

    /// What is wrong, without the runtime's name.
    pub fn cause(&self) -> String {
        match self {
            Self::NoRuntime { missing, .. } => missing.clone(),
            other => other.to_string(),
        }
    }

    /// An [`ExportError::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

impl From<ExportError> for TrainError {
    fn from(e: ExportError) -> Self {
        match e {
            ExportError::Model(e) => e,
            other => Self::Engine(Box::new(other)),
        }
    }
}

impl From<tch::TchError> for ExportError {
    fn from(e: tch::TchError) -> Self {
        Self::Model(e.into())
    }
}

impl From<repghost_coco::DataError> for ExportError {
    fn from(e: repghost_coco::DataError) -> Self {
        Self::Model(e.into())
    }
}
