//! How the examples find libtorch when they run.

fn main() {
    repghost_link::libtorch();
}
