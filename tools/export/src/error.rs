//! What can go wrong on the way out.

use std::path::PathBuf;

/// Why an export or a run of an exported file failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The image size does not fit the network.
    #[error("--size {height},{width}: both must be positive multiples of {multiple}, so that every level halves evenly")]
    Size {
        /// Rows asked for.
        height: i64,
        /// Columns asked for.
        width: i64,
        /// What they must be a multiple of.
        multiple: i64,
    },
    /// The part does not exist in this model.
    #[error("--part {part}: {why}")]
    Part {
        /// The part asked for.
        part: &'static str,
        /// Why it cannot be had.
        why: String,
    },
    /// onnxruntime is not installed.
    #[error("onnxruntime was not found (looked at {looked}): run `make setup`, or set ORT_DYLIB_PATH to libonnxruntime.so")]
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
    /// The exported file computes something else.
    #[error(
        "the exported file differs from the model: output '{output}' by {difference:.3e}, more than {tolerance:.0e}; the file was not kept"
    )]
    Gate {
        /// Output that differs most.
        output: String,
        /// Largest absolute difference, relative to the output's scale.
        difference: f64,
        /// What is allowed.
        tolerance: f64,
    },
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
