//! Links like every crate of the workspace and compiles `csrc`.

fn main() {
    repghost_link::libtorch();
    // torch-sys found no libtorch (documentation builds): nothing will be linked either.
    let Some(includes) = repghost_link::includes() else { return };
    for file in ["csrc/group.cpp", "csrc/group.h", "csrc/reducer.cpp", "csrc/gloo"] {
        println!("cargo:rerun-if-changed={file}");
    }
    let mut build = cc::Build::new();
    // `csrc/gloo` declares the few types of gloo that libtorch's headers name; libtorch comes without them.
    build.cpp(true).std("c++17").warnings(false).opt_level(1).debug(false).includes(includes).include("csrc");
    build.define("USE_C10D_GLOO", None).files(["csrc/group.cpp", "csrc/reducer.cpp"]).compile("repghost_distributed");
}
