//! What a run depends on besides its experiment file: versions, libraries, devices, threads.
//!
//! `repghost-det doctor` prints it; a run folder keeps it as JSON.

use std::env;
use std::path::{Path, PathBuf};

use repghost_link::version;
use serde::Serialize;

/// An optional tool or library: where it is, and where was looked.
#[derive(Clone, Debug, Serialize)]
pub struct Search {
    /// Where it was found.
    pub found: Option<PathBuf>,
    /// Version, where one is found without running anything.
    pub version: Option<String>,
    /// The places that were looked at, in order, in words.
    pub looked: Vec<String>,
}

/// Everything around a run.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// Our version.
    pub version: String,
    /// Operating system and processor architecture.
    pub platform: String,
    /// Version of the tch crate that libtorch is called through.
    pub tch: String,
    /// libtorch: the library that is loaded.
    pub libtorch: Search,
    /// libtorch's version that tch is made for.
    pub libtorch_expected: String,
    /// CUDA devices that libtorch can use.
    pub cuda_devices: i64,
    /// cuDNN's version, with CUDA.
    pub cudnn: Option<i64>,
    /// Processors that this process may use.
    pub processors: usize,
    /// Threads libtorch uses within an operation.
    pub intra_op_threads: i32,
    /// Threads libtorch uses between operations.
    pub inter_op_threads: i32,
}

/// The tch release in `Cargo.toml`.
const TCH_VERSION: &str = "0.24.0";

impl Environment {
    /// Looks around. Nothing is run and nothing is changed.
    pub fn collect() -> Self {
        let cuda_devices = tch::Cuda::device_count();
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            platform: format!("{} {}", env::consts::OS, env::consts::ARCH),
            tch: TCH_VERSION.into(),
            libtorch: find_libtorch(),
            libtorch_expected: version::VERSION.into(),
            cuda_devices,
            cudnn: (cuda_devices > 0 && tch::Cuda::cudnn_is_available()).then(tch::utils::version_cudnn),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            intra_op_threads: tch::get_num_threads(),
            inter_op_threads: tch::get_num_interop_threads(),
        }
    }
}

fn find_libtorch() -> Search {
    let built = option_env!("LIBTORCH_LIB_DIR").map(PathBuf::from);
    let folder = repghost_kernels::device::libraries::folder().or(built);
    let version = folder.as_deref().and_then(Path::parent).and_then(version::version_in);
    Search { found: folder, version, looked: vec!["the libraries of this process".into()] }
}

/// The text of a file that holds one word, such as a version.
pub fn read_word(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|t| t.trim().to_string()).filter(|t| !t.is_empty())
}
