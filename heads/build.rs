//! Links like every crate of the workspace and compiles the one C++ file of this crate (see `src/roi_align/custom_op.rs`).

#[path = "../tools/setup/link_libtorch.rs"]
mod link_libtorch;

use std::path::PathBuf;

fn main() {
    link_libtorch::main();
    println!("cargo:rerun-if-changed=csrc/custom_op.cpp");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    let include = match (std::env::var_os("LIBTORCH_INCLUDE"), std::env::var_os("DEP_TCH_LIBTORCH_LIB")) {
        (Some(dir), _) => PathBuf::from(dir).join("include"),
        (None, Some(lib)) => PathBuf::from(lib).join("../include"),
        // torch-sys found no libtorch (documentation builds): nothing will be linked either.
        (None, None) => return,
    };
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("csrc/custom_op.cpp")
        .compile("repghost_custom_op");
}
