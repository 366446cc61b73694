//! How executables find libtorch, and what they set before it is loaded. Without libtorch itself.
//!
//! | what | for |
//! |---|---|
//! | [`libtorch`], [`rpath`], [`includes`] | build scripts of crates that make executables (tests and benchmarks included) |
//! | [`settings`] | variables that libtorch's libraries should start with |
//! | [`version`] | the libtorch that the program is made for, and the one in a folder |
//!
//! ```no_run
//! // In `main` of build.rs:
//! repghost_link::libtorch();
//! ```
//!
//! An rpath to libtorch's folder lets an executable run without `LD_LIBRARY_PATH`. Cargo applies linker arguments to the executables of the
//! crate whose build script prints them only, so every crate that makes some calls this. Nothing here asks for CUDA: programs open
//! `libtorch_cuda.so` at run time, so that one executable serves machines with and without a card.

pub mod settings;
pub mod version;

use std::path::{Path, PathBuf};

/// Prints the rpath for every executable of the crate.
pub fn libtorch() {
    rpath(&["rustc-link-arg"]);
}

/// Prints the rpath for the kinds of executables that `instructions` name (cargo's `rustc-link-arg`, `rustc-link-arg-bin=NAME`, …), and sets
/// `LIBTORCH_LIB_DIR` for `option_env!`. Prints nothing where there is no libtorch, as in documentation builds.
pub fn rpath(instructions: &[&str]) {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=LIBTORCH_USE_PYTORCH");
    let Some(folder) = folder() else { return };
    for line in arguments(&folder, instructions) {
        println!("{line}");
    }
}

/// Folders of libtorch's headers, for crates that compile C++. `None` where there is no libtorch.
pub fn includes() -> Option<[PathBuf; 2]> {
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    let include = match std::env::var_os("LIBTORCH_INCLUDE") {
        Some(dir) => PathBuf::from(dir).join("include"),
        None => folder()?.join("../include"),
    };
    Some([include.clone(), include.join("torch/csrc/api/include")])
}

/// The folder that `torch-sys` reports where the crate depends on it, else `LIBTORCH/lib`.
fn folder() -> Option<PathBuf> {
    let reported = std::env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
    reported.or_else(|| Some(Path::new(&std::env::var_os("LIBTORCH")?).join("lib")))
}

fn arguments(folder: &Path, instructions: &[&str]) -> Vec<String> {
    let folder = folder.display();
    let rpaths = instructions.iter().map(|instruction| format!("cargo:{instruction}=-Wl,-rpath,{folder}"));
    rpaths.chain([format!("cargo:rustc-env=LIBTORCH_LIB_DIR={folder}")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_executable_gets_the_path() {
        let lines = arguments(Path::new("/opt/torch/lib"), &["rustc-link-arg-bin=a", "rustc-link-arg-tests"]);
        assert_eq!(
            lines,
            [
                "cargo:rustc-link-arg-bin=a=-Wl,-rpath,/opt/torch/lib",
                "cargo:rustc-link-arg-tests=-Wl,-rpath,/opt/torch/lib",
                "cargo:rustc-env=LIBTORCH_LIB_DIR=/opt/torch/lib",
            ]
        );
    }
}
