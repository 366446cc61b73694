//! What the examples share: a detector that trains on built-in images within seconds.

use std::path::{Path, PathBuf};

use repghost_train::config::Loaded;
use repghost_train::TrainError;

/// RetinaNet on built-in images of 64 pixels, a few steps long: it shows how things are called, not what they reach.
const EXPERIMENT: &str = "
data:
  source: shapes
  augment: {resize: {size: 64}}
  shapes: {train_images: 16, val_images: 4, picture: {size: [64, 64], max_objects: 3}}
model:
  backbone: {name: repghostnet, width: 0.5}
  fpn: {channels: 32}
  head: {name: retinanet, tower_depth: 1}
train:
  epochs: 1
  batch_size: 4
  optimizer: {name: adamw, lr: 1.0e-3}
";

/// The experiment, with `key=value` overrides.
///
/// # Errors
/// Overrides that name no key or give it a value that it cannot take.
pub fn quick_experiment(overrides: &[&str]) -> Result<Loaded, TrainError> {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Ok(Loaded::parse(EXPERIMENT, Path::new("quick.yaml"), &overrides)?)
}

/// The folder that an example writes to: its first argument, or `runs/examples/NAME`.
pub fn output(name: &str) -> PathBuf {
    std::env::args_os().nth(1).map_or_else(|| Path::new("runs/examples").join(name), PathBuf::from)
}
