//! The container that `torch.save` writes since PyTorch 1.6: a zip with `NAME/data.pkl` (a pickle) and `NAME/data/KEY` (raw
//! storages, uncompressed).

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use zip::result::ZipError;
use zip::ZipArchive;

use super::error::WeightsError;
use super::pickle::{self, PickleError, StorageRef};
use super::{checkpoint, StateDict};

/// Bytes of `data.pkl`. A pickle holds names and numbers, some hundred kB for the largest detectors.
const MAX_PICKLE_BYTES: u64 = 64 << 20;
const PICKLE: &str = "data.pkl";
/// What an archive may unpack to: this many times its own size, and some. `torch.save` does not compress; archives that were packed anew
/// with compression shrink by a tenth.
const MAX_FACTOR: u64 = 8;
const MIN_UNPACKED: u64 = 64 << 20;

pub(super) fn read(path: &Path, file: BufReader<File>) -> Result<StateDict, WeightsError> {
    let size = file.get_ref().metadata().map_err(|e| WeightsError::io(path, e))?.len();
    let limit = size.saturating_mul(MAX_FACTOR).saturating_add(MIN_UNPACKED);
    let mut unpacked = 0u64;
    let mut zip = ZipArchive::new(file).map_err(|source| WeightsError::Zip { path: path.into(), source })?;
    let is_pickle = |n: &&str| n.strip_suffix(PICKLE).is_some_and(|folder| folder.is_empty() || folder.ends_with('/'));
    let Some(name) = zip.file_names().find(is_pickle).map(str::to_string) else {
        return Err(WeightsError::NoPickle { path: path.into() });
    };
    let folder = name[..name.len() - PICKLE.len()].to_string();
    if zip.file_names().any(|n| n == format!("{folder}constants.pkl")) {
        return Err(WeightsError::TorchScript { path: path.into() });
    }
    let byte_order = format!("{folder}byteorder");
    if zip.file_names().any(|n| n == byte_order) {
        let order = entry(path, &mut zip, &byte_order, 16)?;
        let order = String::from_utf8_lossy(&order).trim().to_string();
        if order != "little" {
            return Err(WeightsError::ByteOrder { path: path.into(), order });
        }
    }
    let program = entry(path, &mut zip, &name, MAX_PICKLE_BYTES)?;
    let parsed = pickle::parse(&program).map_err(|e| WeightsError::pickle(path, e))?;
    checkpoint::state_dict(path, &parsed, |storage, bytes| {
        unpacked = unpacked.saturating_add(bytes);
        let within = unpacked <= limit;
        match stored(path, &mut zip, &folder, storage, bytes, within)? {
            Some(bytes) => Ok(bytes),
            None => Err(WeightsError::Bomb { path: path.into(), limit, factor: MAX_FACTOR }),
        }
    })
}

/// A small entry, whole.
fn entry(path: &Path, zip: &mut ZipArchive<BufReader<File>>, name: &str, limit: u64) -> Result<Vec<u8>, WeightsError> {
    let entry = zip.by_name(name).map_err(|source| WeightsError::Zip { path: path.into(), source })?;
    let mut bytes = vec![];
    entry.take(limit + 1).read_to_end(&mut bytes).map_err(|e| damaged(path, name, e))?;
    if bytes.len() as u64 > limit {
        return Err(WeightsError::pickle(path, PickleError::TooLong { bytes: bytes.len() as u64, limit }));
    }
    Ok(bytes)
}

/// The raw data of a storage, which must have exactly `expected` bytes; none where it is more than may be unpacked (`within`).
fn stored(
    path: &Path,
    zip: &mut ZipArchive<BufReader<File>>,
    folder: &str,
    storage: &StorageRef,
    expected: u64,
    within: bool,
) -> Result<Option<Vec<u8>>, WeightsError> {
    let wrong = |reason: String| WeightsError::Storage { path: path.into(), key: storage.key.clone(), reason };
    let name = format!("{folder}data/{}", storage.key);
    let entry = match zip.by_name(&name) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Err(wrong("not in the file".into())),
        Err(source) => return Err(WeightsError::Zip { path: path.into(), source }),
    };
    if entry.size() != expected {
        return Err(wrong(format!(
            "{} elements of {} need {expected} bytes, found {}",
            storage.elements,
            storage.class,
            entry.size()
        )));
    }
    if !within {
        return Ok(None);
    }
    // Not reserved in advance: the size is only what the file claims.
    let mut bytes = vec![];
    entry.take(expected + 1).read_to_end(&mut bytes).map_err(|e| damaged(path, &name, e))?;
    if bytes.len() as u64 != expected {
        return Err(WeightsError::Truncated { path: path.into(), part: name });
    }
    Ok(Some(bytes))
}

/// A read error inside a zip is a damaged file (wrong checksum, cut off), not a broken disk.
fn damaged(path: &Path, name: &str, error: std::io::Error) -> WeightsError {
    WeightsError::Storage { path: path.into(), key: name.to_string(), reason: error.to_string() }
}
