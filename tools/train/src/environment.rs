//! What a run depends on besides its experiment file: versions, libraries, devices, threads.
//!
//! `repghost-det doctor` prints it; a run folder keeps it as JSON.

use std::env;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// An optional tool or library: where it is, and where was looked.
#[derive(Clone, Debug, Serialize)]
pub struct Search {
    /// Where it was found.
    pub found: Option<PathBuf>,
    /// Version, where one can be told without running anything.
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
    /// onnxruntime, for exported models.
    pub onnxruntime: Search,
    /// TensorRT's builder, for exported models on NVIDIA GPUs.
    pub trtexec: Search,
}

/// The tch release in `Cargo.toml`, and the libtorch it is made for.
const TCH_VERSION: &str = "0.24.0";
const LIBTORCH_VERSION: &str = "2.11.0";

impl Environment {
    /// Looks around. Nothing is run and nothing is changed.
    pub fn collect() -> Self {
        let cuda_devices = tch::Cuda::device_count();
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            platform: format!("{} {}", env::consts::OS, env::consts::ARCH),
            tch: TCH_VERSION.into(),
            libtorch: find_libtorch(),
            libtorch_expected: LIBTORCH_VERSION.into(),
            cuda_devices,
            cudnn: (cuda_devices > 0 && tch::Cuda::cudnn_is_available()).then(tch::utils::version_cudnn),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            intra_op_threads: tch::get_num_threads(),
            inter_op_threads: tch::get_num_interop_threads(),
            onnxruntime: find_onnxruntime(),
            trtexec: find_trtexec(),
        }
    }
}

fn find_libtorch() -> Search {
    let built = option_env!("LIBTORCH_LIB_DIR").map(PathBuf::from);
    let folder = mapped("libtorch_cpu").or(built);
    let version = folder.as_deref().and_then(Path::parent).and_then(|root| read_word(&root.join("build-version")));
    Search { found: folder, version, looked: vec!["the libraries of this process".into()] }
}

/// Folder of a library that this process has loaded (Linux only).
fn mapped(name: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let path = maps
        .lines()
        .filter_map(|l| l.find('/').map(|at| &l[at..]))
        .find(|p| Path::new(p).file_name().is_some_and(|f| f.to_string_lossy().starts_with(name)))?;
    Path::new(path).parent().map(Path::to_path_buf)
}

/// Where `make setup` puts libraries, seen from the working directory, from its parents, and from where this program was built.
fn deps_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Ok(here) = env::current_dir() {
        folders.extend(here.ancestors().map(|a| a.join(".deps")).filter(|d| d.is_dir()).take(1));
    }
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(|root| root.join(".deps"));
    folders.extend(built.filter(|b| !folders.contains(b)));
    folders
}

/// Looks for onnxruntime's library: `ORT_DYLIB_PATH`, then `.deps/onnxruntime`.
pub fn find_onnxruntime() -> Search {
    let name = format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    let mut search = Search { found: None, version: None, looked: Vec::new() };
    if let Some(path) = looked_variable("ORT_DYLIB_PATH", &mut search) {
        search.found = path.is_file().then_some(path);
        return search;
    }
    for folder in deps_folders() {
        let folder = folder.join("onnxruntime");
        search.looked.push(folder.join(&name).display().to_string());
        if folder.join(&name).is_file() {
            search.version = read_word(&folder.join("version"));
            search.found = Some(folder.join(&name));
            return search;
        }
    }
    search
}

/// Looks for TensorRT's builder: `TRTEXEC`, then `trtexec` on the PATH, then where Debian packages of TensorRT put it.
pub fn find_trtexec() -> Search {
    let mut search = Search { found: None, version: None, looked: Vec::new() };
    if let Some(path) = looked_variable("TRTEXEC", &mut search) {
        search.found = path.is_file().then_some(path);
        return search;
    }
    let name = format!("trtexec{}", env::consts::EXE_SUFFIX);
    search.looked.push("PATH".into());
    search.found = env::split_paths(&env::var_os("PATH").unwrap_or_default()).map(|dir| dir.join(&name)).find(|p| p.is_file());
    if search.found.is_none() {
        let usual = Path::new("/usr/src/tensorrt/bin").join(&name);
        search.looked.push(usual.display().to_string());
        search.found = usual.is_file().then_some(usual);
    }
    search
}

/// The path in an environment variable, noted as a place that was looked at.
fn looked_variable(name: &str, search: &mut Search) -> Option<PathBuf> {
    match env::var_os(name) {
        Some(path) => {
            let path = PathBuf::from(path);
            search.looked.push(format!("{name}={}", path.display()));
            Some(path)
        }
        None => {
            search.looked.push(format!("{name} (not set)"));
            None
        }
    }
}

fn read_word(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|t| t.trim().to_string()).filter(|t| !t.is_empty())
}
