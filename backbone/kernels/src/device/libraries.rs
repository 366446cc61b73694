//! libtorch's CUDA half and the libraries that come with it.

use std::ffi::{c_char, c_int};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::Library;

use crate::shim::{check, text, ShimError};

extern "C" {
    fn repghost_libtorch_folder() -> *mut c_char;
    fn repghost_open_cuda() -> *mut c_char;
    fn repghost_cudart_version(out: *mut i64) -> *mut c_char;
}

/// Why libtorch's CUDA half is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCudaHalf {
    /// This libtorch has none.
    #[error(
        "the libtorch in {folder} has no CUDA half (libtorch_cuda.so): `make setup CUDA=1` fetches one that has, or set LIBTORCH to the \
         folder of a pip torch",
        folder = .0.display()
    )]
    Missing(PathBuf),
    /// It cannot be opened.
    #[error("libtorch's CUDA half cannot be opened: {0}")]
    Broken(String),
}

/// Folder of the libtorch that this process has loaded.
pub fn folder() -> Option<PathBuf> {
    // SAFETY: the shim hands over a text.
    let folder = unsafe { text(repghost_libtorch_folder()) }.filter(|f| !f.is_empty())?;
    Some(PathBuf::from(folder.trim_end_matches('/')))
}

/// Opens the CUDA half, once; later calls repeat the answer. Must come before the first question about CUDA (`tch::Cuda`,
/// `tch::manual_seed`, a backward pass): libtorch looks for it once. Takes a quarter of a second, and seconds from a cold disk.
///
/// # Errors
/// Where it is not there or cannot be opened.
pub fn open_cuda() -> Result<(), NoCudaHalf> {
    static OPENED: OnceLock<Result<(), NoCudaHalf>> = OnceLock::new();
    let open = || {
        let folder = folder().unwrap_or_default();
        if !folder.join("libtorch_cuda.so").exists() {
            return Err(NoCudaHalf::Missing(folder));
        }
        // SAFETY: the shim hands over a text.
        match unsafe { text(repghost_open_cuda()) } {
            None => Ok(()),
            Some(message) => Err(NoCudaHalf::Broken(message)),
        }
    };
    OPENED.get_or_init(open).clone()
}

/// Version of the CUDA runtime that libtorch was built with, such as 13000.
///
/// # Errors
/// A libtorch without its CUDA half.
pub fn cudart_version() -> Result<i64, ShimError> {
    let mut version = 0;
    // SAFETY: the shim writes one number.
    unsafe { check(repghost_cudart_version(&mut version))? };
    Ok(version)
}

/// A version as CUDA and NCCL's older releases count it, as text: 13000 is 13.0.
pub fn dotted(version: i64) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

/// Where a library of NVIDIA's lies beside a pip torch, and in CUDA's own folder; then its bare name, for the system to find.
pub fn candidates(package: &str, name: &str) -> Vec<PathBuf> {
    let mut paths = vec![];
    if let Some(torch) = folder() {
        paths.push(torch.join(name));
        paths.push(torch.join("../../nvidia").join(package).join("lib").join(name));
    }
    if let Some(home) = std::env::var_os("CUDA_HOME") {
        paths.push(Path::new(&home).join("lib64").join(name));
    }
    paths.retain(|p| p.exists());
    paths.push(name.into());
    paths
}

/// Opens the first of [`candidates`] that can be.
///
/// # Errors
/// None can be.
pub fn open(package: &str, name: &str) -> Result<Library, String> {
    let mut last = String::new();
    for path in candidates(package, name) {
        // SAFETY: NVIDIA's libraries run no code of ours when they are opened.
        match unsafe { Library::new(&path) } {
            Ok(library) => return Ok(library),
            Err(_) => last = format!("{name} cannot be opened"),
        }
    }
    Err(last)
}

/// NVRTC's version, "13.0". NVRTC compiles kernels at run time and needs no card.
///
/// # Errors
/// Where it cannot be opened.
pub fn nvrtc_version() -> Result<String, String> {
    let library = open("cu13", "libnvrtc.so.13")?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the signature is nvrtc.h's.
    let code = unsafe {
        let version: libloading::Symbol<unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int> =
            library.get(b"nvrtcVersion\0").map_err(|e| e.to_string())?;
        version(&mut major, &mut minor)
    };
    match code {
        0 => Ok(format!("{major}.{minor}")),
        code => Err(format!("nvrtcVersion answered {code}")),
    }
}

/// NCCL, which adds tensors of several cards.
///
/// # Errors
/// Where it cannot be opened.
pub fn open_nccl() -> Result<Library, String> {
    open("nccl", "libnccl.so.2")
}

/// NCCL's version, "2.28.9".
///
/// # Errors
/// Where it cannot be opened.
pub fn nccl_version() -> Result<String, String> {
    version_of_nccl(&open_nccl()?)
}

/// Version of an opened NCCL.
///
/// # Errors
/// Another library, or one that does not answer.
pub fn version_of_nccl(library: &Library) -> Result<String, String> {
    let mut version = 0;
    // SAFETY: the signature is nccl.h's.
    let code = unsafe {
        let ask: libloading::Symbol<unsafe extern "C" fn(*mut c_int) -> c_int> =
            library.get(b"ncclGetVersion\0").map_err(|e| e.to_string())?;
        ask(&mut version)
    };
    match code {
        0 => Ok(format!("{}.{}.{}", version / 10_000, version % 10_000 / 100, version % 100)),
        code => Err(format!("ncclGetVersion answered {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_is_found_where_it_was_loaded_from() {
        let folder = folder().unwrap();
        assert!(folder.join("libtorch_cpu.so").exists() || folder.join("libtorch_cpu.dylib").exists(), "{}", folder.display());
    }

    #[test]
    fn versions_are_dotted() {
        assert_eq!(["12.4", "13.0"], [12040, 13000].map(dotted).each_ref().map(String::as_str));
    }
}
