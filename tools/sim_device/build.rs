//! Compiles the simulated device, which needs libtorch's headers only.

const FILES: [&str; 4] = ["csrc/api.cpp", "csrc/device.cpp", "csrc/kernels.cpp", "csrc/memory.cpp"];

fn main() {
    repghost_link::libtorch();
    // torch-sys found no libtorch (documentation builds): nothing will be linked either.
    let Some(includes) = repghost_link::includes() else { return };
    let mut build = cc::Build::new();
    // Calls of a few microseconds: optimizing further and debug lines would cost compile time and gain nothing.
    build.cpp(true).std("c++17").warnings(false).opt_level(1).debug(false).includes(includes).files(FILES);
    for file in FILES.into_iter().chain(["csrc/operators.h", "csrc/sim.h"]) {
        println!("cargo:rerun-if-changed={file}");
    }
    build.compile("repghost_sim_device");
}
