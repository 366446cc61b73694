//! From the pickle of a `.pth` file to its state dict.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use tch::Tensor;

use super::error::{TensorError, WeightsError};
use super::pickle::{Id, Pickle, StorageRef, TensorRef, Value};
use super::{storage, StateDict};

/// Where a checkpoint keeps its weights, best first. Published accuracies are those of the EMA weights.
const CHOICES: [&str; 3] = ["state_dict_ema", "state_dict", "model"];
/// Longest text of a checkpoint that is kept as metadata.
const MAX_TEXT: usize = 256;

/// Reads the tensors of the state dict inside `pickle`; `fetch` gives the raw bytes (a known number) of a storage.
pub(super) fn state_dict(
    path: &Path,
    pickle: &Pickle,
    mut fetch: impl FnMut(&StorageRef, u64) -> Result<Vec<u8>, WeightsError>,
) -> Result<StateDict, WeightsError> {
    let (entries, chosen) = choose(path, pickle)?;
    let mut state = StateDict {
        chosen: chosen.map(str::to_string),
        foreign: pickle.foreign.iter().cloned().collect(),
        metadata: metadata(pickle),
        ..Default::default()
    };
    let mut storages: HashMap<&StorageRef, Tensor> = HashMap::new();
    for (name, id) in entries {
        let Value::Tensor(tensor) = pickle.get(id) else { continue };
        let wrong = |source| WeightsError::Tensor { path: path.into(), name: name.to_string(), source };
        if !storages.contains_key(&tensor.storage) {
            storages.insert(&tensor.storage, whole(&tensor.storage, &mut fetch, &wrong)?);
        }
        state.tensors.push((name.to_string(), storage::pick(&storages[&tensor.storage], &tensor.geometry).map_err(wrong)?));
    }
    Ok(state)
}

/// Every storage that a tensor of the pickle names.
pub(super) fn storages(pickle: &Pickle) -> impl Iterator<Item = &StorageRef> {
    pickle.values().filter_map(|v| match v {
        Value::Storage(s) | Value::Tensor(TensorRef { storage: s, .. }) => Some(s),
        _ => None,
    })
}

/// A storage as a one-dimensional tensor.
fn whole(
    storage: &StorageRef,
    fetch: &mut impl FnMut(&StorageRef, u64) -> Result<Vec<u8>, WeightsError>,
    wrong: &impl Fn(TensorError) -> WeightsError,
) -> Result<Tensor, WeightsError> {
    let kind = storage.kind.ok_or_else(|| wrong(TensorError::Kind(storage.class.clone())))?;
    let too_many = || wrong(TensorError::Bytes { shape: vec![i64::MAX], expected: u64::MAX, found: 0 });
    let elements = i64::try_from(storage.elements).map_err(|_| too_many())?;
    let expected = storage.elements.checked_mul(kind.elt_size_in_bytes() as u64).ok_or_else(too_many)?;
    let bytes = fetch(storage, expected)?;
    storage::from_bytes(&bytes, &[elements], kind).map_err(wrong)
}

type Entries<'a> = Vec<(&'a str, Id)>;

fn choose<'a>(path: &Path, pickle: &'a Pickle) -> Result<(Entries<'a>, Option<&'static str>), WeightsError> {
    let Some(top) = pickle.entries(pickle.root) else {
        return Err(match pickle.get(pickle.root) {
            Value::Object { class, .. } => WeightsError::WholeObject { path: path.into(), class: class.clone() },
            other => WeightsError::NoStateDict { path: path.into(), found: type_name(other).into() },
        });
    };
    let has_tensors = |entries: &Entries| entries.iter().any(|(_, id)| matches!(pickle.get(*id), Value::Tensor(_)));
    let inside = |key: &str| top.iter().find(|(k, _)| *k == key).map(|(_, id)| *id);
    for choice in CHOICES {
        let entries = inside(choice).and_then(|id| pickle.entries(id));
        if let Some(entries) = entries.filter(has_tensors) {
            return Ok((entries, Some(choice)));
        }
    }
    if has_tensors(&top) {
        return Ok((top, None));
    }
    for choice in CHOICES {
        if let Some(Value::Object { class, .. }) = inside(choice).map(|id| pickle.get(id)) {
            return Err(WeightsError::WholeObject { path: path.into(), class: class.clone() });
        }
    }
    let keys: Vec<&str> = top.iter().map(|(k, _)| *k).take(12).collect();
    Err(WeightsError::NoStateDict { path: path.into(), found: if keys.is_empty() { "nothing".into() } else { keys.join(", ") } })
}

/// The scalars and short texts at the top of a checkpoint.
fn metadata(pickle: &Pickle) -> BTreeMap<String, String> {
    let entries = pickle.entries(pickle.root).unwrap_or_default();
    entries.into_iter().filter_map(|(k, id)| Some((k.to_string(), scalar(pickle, id)?))).collect()
}

fn scalar(pickle: &Pickle, id: Id) -> Option<String> {
    match pickle.get(id) {
        Value::Bool(b) => Some(b.to_string()),
        Value::Int(i) => Some(i.to_string()),
        Value::Float(f) => Some(f.to_string()),
        Value::Str(s) if s.len() <= MAX_TEXT => Some(s.clone()),
        Value::Object { class, arguments, .. } if class.starts_with("numpy.") && class.ends_with(".multiarray.scalar") => {
            numpy_scalar(pickle, *arguments)
        }
        _ => None,
    }
}

/// `scalar(dtype('f8', …), bytes)`, the form in which a NumPy number (a best metric, say) is pickled.
fn numpy_scalar(pickle: &Pickle, arguments: Id) -> Option<String> {
    let tuple = |id: Id| match pickle.get(id) {
        Value::Tuple(items) => Some(items.as_slice()),
        _ => None,
    };
    let [dtype, bytes] = tuple(arguments)? else { return None };
    let Value::Object { class, arguments: dtype, .. } = pickle.get(*dtype) else { return None };
    let Value::Bytes(bytes) = pickle.get(*bytes) else { return None };
    if class != "numpy.dtype" {
        return None;
    }
    match pickle.text(*tuple(*dtype)?.first()?)? {
        "f8" => Some(f64::from_le_bytes(bytes.as_slice().try_into().ok()?).to_string()),
        "f4" => Some(f32::from_le_bytes(bytes.as_slice().try_into().ok()?).to_string()),
        "i8" => Some(i64::from_le_bytes(bytes.as_slice().try_into().ok()?).to_string()),
        "i4" => Some(i32::from_le_bytes(bytes.as_slice().try_into().ok()?).to_string()),
        _ => None,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Tensor(_) => "a single tensor",
        Value::List(_) | Value::Tuple(_) | Value::Set(_) => "a list",
        Value::Dict(_) => "a dict",
        _ => "a scalar",
    }
}
