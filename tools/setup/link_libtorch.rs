//! The build script of every crate that makes an executable (tests and benchmarks included).
//!
//! torch-sys tells where libtorch lies (`DEP_TCH_LIBTORCH_LIB`). An rpath to that folder lets the binary run without
//! `LD_LIBRARY_PATH`; with a CUDA libtorch, `libtorch.so` must be linked although no symbol of it is named, or else the linker
//! drops it and CUDA stays invisible at run time.

/// Emits the rpath and, for CUDA, the link to `libtorch.so`.
pub fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_USE_PYTORCH");
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    if std::path::Path::new(&lib).join("libtorch_cuda.so").exists() {
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo:rustc-link-arg=-ltorch");
    }
    println!("cargo:rustc-env=LIBTORCH_LIB_DIR={lib}");
}
