//! One checkpoint file.

use std::path::Path;

use repghost_backbone::weights::{self, StateDict};
use tch::{Device, Tensor};

use super::{Checkpoint, Progress, FORMAT};
use crate::error::{CheckpointProblem, TrainError};
use crate::optim::NamedTensors;

/// Metadata key of [`Progress`].
const PROGRESS: &str = "repghost.progress";
/// Metadata key of the checksum.
const CHECKSUM: &str = "repghost.crc32";

const MODEL: &str = "model.";
const EMA: &str = "ema.";
const OPTIMIZER: &str = "optimizer.";

/// Writes the checkpoint, whole or not at all.
///
/// # Errors
/// The disk's.
pub fn write(path: &Path, checkpoint: &Checkpoint) -> Result<(), TrainError> {
    let mut state = StateDict::default();
    for (prefix, part) in [(MODEL, &checkpoint.model), (EMA, &checkpoint.ema), (OPTIMIZER, &checkpoint.optimizer)] {
        state.tensors.extend(part.iter().map(|(name, t)| (format!("{prefix}{name}"), t.shallow_clone())));
    }
    let bad = |problem: CheckpointProblem| TrainError::Checkpoint { path: path.into(), problem };
    let progress = serde_json::to_string(&checkpoint.progress).map_err(|e| bad(e.into()))?;
    state.metadata.insert(CHECKSUM.into(), checksum(&state.tensors, &progress)?);
    state.metadata.insert(PROGRESS.into(), progress);
    Ok(weights::write(path, &state)?)
}

/// Reads a checkpoint and checks it.
///
/// # Errors
/// [`TrainError::Checkpoint`] where the file is damaged, of another version, or no checkpoint.
pub fn read(path: &Path) -> Result<Checkpoint, TrainError> {
    let bad = |problem: CheckpointProblem| TrainError::Checkpoint { path: path.into(), problem };
    let state = weights::read(path)?;
    let (Some(progress), Some(expected)) = (state.metadata.get(PROGRESS), state.metadata.get(CHECKSUM)) else {
        return Err(bad(CheckpointProblem::NotACheckpoint));
    };
    let found = checksum(&state.tensors, progress)?;
    if found != *expected {
        return Err(bad(CheckpointProblem::Checksum { found, expected: expected.clone() }));
    }
    let progress: Progress = serde_json::from_str(progress).map_err(|e| bad(e.into()))?;
    if progress.format != FORMAT {
        return Err(bad(CheckpointProblem::Layout { found: progress.format, expected: FORMAT }));
    }
    let part = |prefix: &str| -> NamedTensors { state.under(prefix).tensors.into_iter().collect() };
    Ok(Checkpoint { model: part(MODEL), ema: part(EMA), optimizer: part(OPTIMIZER), progress })
}

/// The weights to predict with from a file that may be a checkpoint: the average where there is one, else the weights. Other files come
/// back as they are.
///
/// What reading did to a file's names and entries ([`StateDict::notes`]) goes to the log.
pub fn inference_weights(state: StateDict) -> StateDict {
    for note in &state.notes {
        tracing::info!("weights: {note}");
    }
    if !state.metadata.contains_key(PROGRESS) {
        return state;
    }
    let ema = state.under(EMA);
    if ema.is_empty() {
        state.under(MODEL)
    } else {
        ema
    }
}

/// CRC-32 over names, shapes, kinds and bytes of all tensors in order of their names, then over the progress.
fn checksum(tensors: &[(String, Tensor)], progress: &str) -> Result<String, TrainError> {
    let mut sorted: Vec<_> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut hasher = crc32fast::Hasher::new();
    let mut bytes = vec![];
    for (name, tensor) in sorted {
        let kind = tensor.f_kind()?;
        hasher.update(format!("{name} {:?} {kind:?}", tensor.size()).as_bytes());
        let tensor = tensor.detach().f_to_device(Device::Cpu)?.f_contiguous()?;
        bytes.clear();
        bytes.resize(tensor.numel() * kind.elt_size_in_bytes(), 0);
        if !bytes.is_empty() {
            tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        }
        hasher.update(&bytes);
    }
    hasher.update(progress.as_bytes());
    Ok(format!("{:08x}", hasher.finalize()))
}
