//! Weight files: read as data, compared name by name, written atomically.
//!
//! | file | read by |
//! |---|---|
//! | `.safetensors` (timm, ours) | [`safetensors`](self::read) |
//! | `.pth`, `.pt`, `.pth.tar` of PyTorch 1.6 and later (a zip of a pickle and raw storages) | `torch_zip` and [`pickle`] |
//! | the same before PyTorch 1.6 (pickles in a row) | `torch_legacy` and [`pickle`] |
//!
//! The content decides, not the file's name. A pickle is a program for a small machine; here the handful of
//! constructors that tensors need are understood and everything else becomes an inert value, so nothing in a file is ever executed.
//!
//! [`load`] copies tensors into a module tree. It never renames, broadcasts or casts in silence: everything that did not match
//! one to one is listed in the [`LoadReport`].

mod checkpoint;
mod error;
mod form;
mod guess;
mod inspect;
mod load;
mod other_names;
pub mod pickle;
mod report;
mod safetensors;
mod state_dict;
mod storage;
mod torch_legacy;
mod torch_zip;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

pub use error::{TensorError, WeightsError};
pub use form::{detect_form, Form};
pub use guess::{guess, Guess};
pub use inspect::{inspect, Inspection, TensorInfo};
pub use load::{load, load_any_form};
pub use report::{Converted, LoadReport, Mismatch, Strictness};
pub use state_dict::StateDict;

/// Kind of file, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// A safetensors file.
    Safetensors,
    /// A zip, as `torch.save` writes it since 1.6.
    TorchZip,
    /// Pickles in a row, as `torch.save` wrote them before.
    TorchLegacy,
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Container::Safetensors => "safetensors",
            Container::TorchZip => "torch zip",
            Container::TorchLegacy => "torch legacy",
        })
    }
}

/// Bytes that distinguish the containers; a tar has its mark at byte 257.
const SNIFF_BYTES: u64 = 512;

/// Finds a weight file's container from its content.
///
/// # Errors
/// Files that cannot be opened, are empty, or are of no known kind.
pub fn sniff(path: &Path) -> Result<Container, WeightsError> {
    // A pipe without a writer would block, and a device has no end.
    let kind = std::fs::metadata(path).map_err(|e| WeightsError::io(path, e))?.file_type();
    if !kind.is_file() {
        return Err(WeightsError::NotAFile { path: path.into() });
    }
    let file = File::open(path).map_err(|e| WeightsError::io(path, e))?;
    let mut head = vec![];
    file.take(SNIFF_BYTES).read_to_end(&mut head).map_err(|e| WeightsError::io(path, e))?;
    if head.is_empty() {
        return Err(WeightsError::Empty { path: path.into() });
    }
    if head.starts_with(b"PK\x03\x04") {
        Ok(Container::TorchZip)
    } else if head.starts_with(&torch_legacy::START) {
        Ok(Container::TorchLegacy)
    } else if head.len() > 8 && head[8] == b'{' {
        Ok(Container::Safetensors)
    } else {
        let path = path.into();
        Err(match head.get(257..262) {
            Some(b"ustar") => WeightsError::Tar { path },
            _ if head[0] == 0x80 => WeightsError::PlainPickle { path },
            _ => WeightsError::UnknownFormat { path },
        })
    }
}

/// Reads a weight file into CPU tensors of the file's own kinds.
///
/// Of a training checkpoint, an average of the weights is taken before the weights (`state_dict_ema`, `model_ema.module`, … before
/// `state_dict`, `model`, …); where none is there, the file itself must be a dict of tensors. Prefixes of wrappers (`module.`,
/// `_orig_mod.`, …) are stripped, and names of other code for networks that are here are renamed. [`StateDict::notes`] lists what was done.
///
/// # Errors
/// One variant of [`WeightsError`] for each way a file can be wrong.
pub fn read(path: impl AsRef<Path>) -> Result<StateDict, WeightsError> {
    let path = path.as_ref();
    let container = sniff(path)?;
    let mut file = BufReader::new(File::open(path).map_err(|e| WeightsError::io(path, e))?);
    file.seek(SeekFrom::Start(0)).map_err(|e| WeightsError::io(path, e))?;
    let mut state = match container {
        Container::Safetensors => safetensors::read(path, file)?,
        Container::TorchZip => torch_zip::read(path, file)?,
        Container::TorchLegacy => torch_legacy::read(path, file)?,
    };
    state.strip_wrappers();
    other_names::translate(&mut state);
    Ok(state)
}

/// Writes a safetensors file with metadata: contiguous copies, to a temporary name, synced, then renamed. The same state dict
/// gives the same bytes.
///
/// # Errors
/// Names that occur twice, kinds that safetensors has not, and the disk's.
pub fn write(path: impl AsRef<Path>, state: &StateDict) -> Result<(), WeightsError> {
    safetensors::write(path.as_ref(), state)
}
