//! Links `repghost-det-torch` and the tests; the launcher, `repghost-det`, is linked to no libtorch.

#[path = "../setup/link_libtorch.rs"]
mod link_libtorch;

fn main() {
    link_libtorch::rpath(&["rustc-link-arg-bin=repghost-det-torch", "rustc-link-arg-tests"]);
}
