//! The container that `torch.save` wrote before PyTorch 1.6: five pickles in a row (magic number, protocol, system, object, storage
//! keys), then for each key a 64-bit element count and the raw elements.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;

use super::error::WeightsError;
use super::pickle::{self, Pickle, PickleError, StorageRef, Value};
use super::{checkpoint, StateDict};

/// How such a file starts: protocol 2 and the 10-byte magic number 0x1950a86a20f9469cfc6c.
pub(super) const START: [u8; 15] = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const PROTOCOL: i64 = 1001;

pub(super) fn read(path: &Path, mut file: BufReader<File>) -> Result<StateDict, WeightsError> {
    let mut bytes = vec![];
    file.read_to_end(&mut bytes).map_err(|e| WeightsError::io(path, e))?;
    let mut rest = Rest { path, bytes: &bytes, next: START.len() };
    let protocol = rest.pickle()?;
    if protocol.get(protocol.root) != &Value::Int(PROTOCOL) {
        return Err(WeightsError::LegacyProtocol { path: path.into(), found: format!("{:?}", protocol.get(protocol.root)) });
    }
    let system = rest.pickle()?;
    let little = system.entries(system.root).and_then(|e| e.into_iter().find(|(k, _)| *k == "little_endian"));
    if little.is_some_and(|(_, id)| system.get(id) == &Value::Bool(false)) {
        return Err(WeightsError::ByteOrder { path: path.into(), order: "big".into() });
    }
    let object = rest.pickle()?;
    let keys = rest.pickle()?;
    let Value::List(keys_list) = keys.get(keys.root) else {
        let expected = "a list of storage keys";
        return Err(WeightsError::pickle(path, PickleError::Type { expected, at: 0 }));
    };
    let element_bytes: HashMap<&str, u64> =
        checkpoint::storages(&object).filter_map(|s| Some((s.key.as_str(), s.kind?.elt_size_in_bytes() as u64))).collect();
    let mut places: HashMap<String, Range<usize>> = HashMap::new();
    for key in keys_list.iter().filter_map(|id| keys.text(*id)) {
        let wrong = |reason: &str| WeightsError::Storage { path: path.into(), key: key.into(), reason: reason.into() };
        let elements = rest.count(key)?;
        let each = *element_bytes.get(key).ok_or_else(|| wrong("of unknown element size"))?;
        let length = elements.checked_mul(each).ok_or_else(|| wrong("impossible size"))?;
        places.insert(key.to_string(), rest.skip(length, key)?);
    }
    checkpoint::state_dict(path, &object, |storage, expected| find(path, &bytes, &places, storage, expected))
}

fn find(
    path: &Path,
    bytes: &[u8],
    places: &HashMap<String, Range<usize>>,
    storage: &StorageRef,
    expected: u64,
) -> Result<Vec<u8>, WeightsError> {
    let wrong = |reason: String| WeightsError::Storage { path: path.into(), key: storage.key.clone(), reason };
    let place = places.get(&storage.key).ok_or_else(|| wrong("not in the file".into()))?;
    if place.len() as u64 != expected {
        return Err(wrong(format!(
            "{} elements of {} need {expected} bytes, found {}",
            storage.elements,
            storage.class,
            place.len()
        )));
    }
    Ok(bytes[place.clone()].to_vec())
}

/// What has not been read yet.
struct Rest<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    next: usize,
}

impl Rest<'_> {
    fn pickle(&mut self) -> Result<Pickle, WeightsError> {
        let parsed = pickle::parse(&self.bytes[self.next..]).map_err(|e| WeightsError::pickle(self.path, e))?;
        self.next += parsed.length;
        Ok(parsed)
    }

    fn count(&mut self, key: &str) -> Result<u64, WeightsError> {
        let place = self.skip(8, key)?;
        Ok(self.bytes[place].iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    fn skip(&mut self, length: u64, key: &str) -> Result<Range<usize>, WeightsError> {
        if length > (self.bytes.len() - self.next) as u64 {
            return Err(WeightsError::Truncated { path: self.path.into(), part: format!("storage '{key}'") });
        }
        let place = self.next..self.next + length as usize;
        self.next = place.end;
        Ok(place)
    }
}
