//! `repghost-det`, without libtorch.

fn main() {
    repghost_det::launch()
}
