//! The build script of every crate that makes an executable (tests and benchmarks included).
//!
//! torch-sys tells where libtorch lies (`DEP_TCH_LIBTORCH_LIB`). An rpath to that folder lets the binary run without
//! `LD_LIBRARY_PATH`. Nothing here asks for CUDA: programs open `libtorch_cuda.so` at run time (`repghost_kernels::device`), so that one
//! binary serves machines with and without a card.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

/// Emits the rpath, for every executable of the crate.
pub fn main() {
    rpath(&["rustc-link-arg"]);
}

/// Emits the rpath for the kinds of executables that `instructions` name (cargo's `rustc-link-arg`, `rustc-link-arg-bin=NAME`, …).
pub fn rpath(instructions: &[&str]) {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_USE_PYTORCH");
    let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") else { return };
    let lib = Path::new(&lib).display();
    for instruction in instructions {
        println!("cargo:{instruction}=-Wl,-rpath,{lib}");
    }
    println!("cargo:rustc-env=LIBTORCH_LIB_DIR={lib}");
}

/// Folders of libtorch's headers, for crates that compile C++. `None` where torch-sys found no libtorch.
pub fn includes() -> Option<[PathBuf; 2]> {
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    let include = match (std::env::var_os("LIBTORCH_INCLUDE"), std::env::var_os("DEP_TCH_LIBTORCH_LIB")) {
        (Some(dir), _) => PathBuf::from(dir).join("include"),
        (None, Some(lib)) => PathBuf::from(lib).join("../include"),
        (None, None) => return None,
    };
    Some([include.clone(), include.join("torch/csrc/api/include")])
}
