//! Where `repghost-det-torch` and the tests find libtorch, and how `repghost-det` does without it.

fn main() {
    repghost_link::libtorch();
    // A program's own copies of C++ functions that a shared library has too are visible to that library, so the linker keeps them, and with
    // them the library. Hidden, they go like everything that nothing refers to.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-link-arg-bin=repghost-det=-Wl,--exclude-libs,ALL");
    }
}
