//! Lets the targets find libtorch.

fn main() {
    if std::env::var_os("CARGO_FEATURE_TORCH").is_some() {
        repghost_link::libtorch();
    }
}
