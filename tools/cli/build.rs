//! Links `repghost-det-torch` and the tests; the launcher, `repghost-det`, is linked to no libtorch.

fn main() {
    repghost_link::rpath(&["rustc-link-arg-bin=repghost-det-torch", "rustc-link-arg-tests"]);
}
