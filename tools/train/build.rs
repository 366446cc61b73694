//! How executables of this crate find libtorch.

fn main() {
    repghost_link::libtorch();
}
