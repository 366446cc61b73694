//! Links like every crate of the workspace and compiles the C++ files of `csrc/`, which need libtorch's headers and no CUDA ones.

const FILES: [&str; 4] = ["csrc/custom_op.cpp", "csrc/device.cpp", "csrc/lists.cpp", "csrc/profile.cpp"];

fn main() {
    repghost_link::libtorch();
    // torch-sys found no libtorch (documentation builds): nothing will be linked either.
    let Some(includes) = repghost_link::includes() else { return };
    let mut build = cc::Build::new();
    // Calls of a few microseconds: optimizing further and debug lines would cost compile time and gain nothing.
    build.cpp(true).std("c++17").warnings(false).opt_level(1).debug(false).includes(includes);
    println!("cargo:rerun-if-changed=csrc/shim.h");
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
        build.file(file);
    }
    build.compile("repghost_kernels");
}
