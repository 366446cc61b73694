//! The weights of a run to predict with: `weights/best.safetensors`, `weights/last.safetensors`.

use std::collections::BTreeMap;

use repghost_backbone::weights::{self, StateDict};
use repghost_backbone::Tree;

use super::RunFolder;
use crate::error::TrainError;

/// Writes the network's weights, as they are now, as `weights/NAME.safetensors`, whole or not at all.
///
/// # Errors
/// The disk's.
pub fn write(
    folder: &RunFolder,
    name: &str,
    network: &dyn Tree,
    metadata: BTreeMap<String, String>,
    step: u64,
) -> Result<(), TrainError> {
    let mut state = StateDict::of(network, "");
    state.metadata = metadata;
    state.metadata.insert("step".into(), step.to_string());
    Ok(weights::write(folder.weights_file(name), &state)?)
}
