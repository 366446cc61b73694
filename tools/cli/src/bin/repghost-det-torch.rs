//! `repghost-det-torch`, with libtorch; `repghost-det` starts it.

fn main() {
    repghost_det::run_with_libtorch()
}
