//! From the pickle of a `.pth` file to its state dict.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use tch::Tensor;

use super::error::{TensorError, WeightsError};
use super::pickle::{Id, Pickle, StorageRef, Value};
use super::{storage, StateDict};

/// Keys under which trainers keep an average of the weights, best known first. Published accuracies are those of the average.
const AVERAGES: [&str; 9] = [
    "state_dict_ema",
    "ema_state_dict",
    "model_ema",
    "ema_model",
    "model_ema_state_dict",
    "params_ema",
    "ema",
    "averaged_model",
    "swa_model",
];
/// Keys under which they keep the weights.
const WEIGHTS: [&str; 9] =
    ["state_dict", "model_state_dict", "model_state", "model", "params", "net", "network", "weights", "module"];
/// Depth at which a state dict is looked for (`checkpoint["model_ema"]["module"]` is 2).
const MAX_DEPTH: usize = 3;
/// The counter of `torch.optim.swa_utils.AveragedModel`.
const AVERAGED: &str = "n_averaged";
/// Longest text of a checkpoint that is kept as metadata.
const MAX_TEXT: usize = 256;

/// Reads the tensors of the state dict inside `pickle`; `fetch` returns the raw bytes of a storage, of which there are
/// as many as its second argument.
pub(super) fn state_dict(
    path: &Path,
    pickle: &Pickle,
    mut fetch: impl FnMut(&StorageRef, u64) -> Result<Vec<u8>, WeightsError>,
) -> Result<StateDict, WeightsError> {
    let Choice { entries, chosen, others } = choose(path, pickle)?;
    let mut state = StateDict {
        notes: note(chosen.as_deref(), &others),
        chosen,
        foreign: pickle.foreign.iter().cloned().collect(),
        metadata: metadata(pickle),
        ..Default::default()
    };
    let mut storages: HashMap<&StorageRef, Tensor> = HashMap::new();
    let mut expansion = storage::Expansion::default();
    for (name, id) in entries.into_iter().filter(|(name, _)| *name != AVERAGED) {
        let Value::Tensor(tensor) = pickle.get(id) else { continue };
        let wrong = |source| WeightsError::Tensor { path: path.into(), name: name.to_string(), source };
        if !storages.contains_key(&tensor.storage) {
            storages.insert(&tensor.storage, whole(&tensor.storage, &mut fetch, &wrong)?);
        }
        state.tensors.push((
            name.to_string(),
            storage::pick(&storages[&tensor.storage], &tensor.geometry, &mut expansion).map_err(wrong)?,
        ));
    }
    Ok(state)
}

/// Every storage that a tensor of the pickle names.
pub(super) fn storages(pickle: &Pickle) -> impl Iterator<Item = &StorageRef> {
    pickle.values().filter_map(|v| match v {
        Value::Storage(s) => Some(s.as_ref()),
        Value::Tensor(t) => Some(&t.storage),
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

/// The state dict that is read.
struct Choice<'a> {
    entries: Entries<'a>,
    /// Its place, keys joined by dots; none for the file's top.
    chosen: Option<String>,
    /// Places of the other state dicts.
    others: Vec<String>,
}

/// The keys that are looked at, for messages.
fn usual_keys() -> String {
    AVERAGES.iter().chain(&WEIGHTS).copied().collect::<Vec<_>>().join(", ")
}

fn choose<'a>(path: &Path, pickle: &'a Pickle) -> Result<Choice<'a>, WeightsError> {
    let Some(top) = pickle.entries(pickle.root) else {
        return Err(match pickle.get(pickle.root) {
            Value::Object { class, .. } => WeightsError::WholeObject { path: path.into(), class: class.clone() },
            other => WeightsError::NoStateDict { path: path.into(), keys: usual_keys(), found: type_name(other).into() },
        });
    };
    let mut found = vec![];
    candidates(pickle, &top, "", 0, &mut HashSet::from([pickle.root]), &mut found);
    let mut found = found.into_iter();
    if let Some((place, entries)) = found.next() {
        return Ok(Choice { entries, chosen: Some(place), others: found.map(|(place, _)| place).collect() });
    }
    if has_tensors(pickle, &top) {
        return Ok(Choice { entries: top, chosen: None, others: vec![] });
    }
    let mut objects = AVERAGES.iter().chain(&WEIGHTS).filter_map(|key| inside(&top, key));
    if let Some(class) = objects.find_map(|id| if let Value::Object { class, .. } = pickle.get(id) { Some(class) } else { None })
    {
        return Err(WeightsError::WholeObject { path: path.into(), class: class.clone() });
    }
    let keys: Vec<&str> = top.iter().map(|(k, _)| *k).take(12).collect();
    Err(WeightsError::NoStateDict {
        path: path.into(),
        keys: usual_keys(),
        found: if keys.is_empty() { "nothing".into() } else { keys.join(", ") },
    })
}

/// State dicts below the usual keys of `entries`, averages first. Each dict is looked at once (`seen`): a pickle can hold itself.
fn candidates<'a>(
    pickle: &'a Pickle,
    entries: &Entries<'a>,
    place: &str,
    depth: usize,
    seen: &mut HashSet<Id>,
    found: &mut Vec<(String, Entries<'a>)>,
) {
    for key in AVERAGES.iter().chain(&WEIGHTS) {
        let Some(id) = inside(entries, key).filter(|id| seen.insert(*id)) else { continue };
        let Some(below) = pickle.entries(id) else { continue };
        let place = if place.is_empty() { key.to_string() } else { format!("{place}.{key}") };
        if has_tensors(pickle, &below) {
            found.push((place, below));
        } else if depth + 1 < MAX_DEPTH {
            candidates(pickle, &below, &place, depth + 1, seen, found);
        }
    }
}

fn inside(entries: &Entries, key: &str) -> Option<Id> {
    entries.iter().find(|(k, _)| *k == key).map(|(_, id)| *id)
}

/// Whether a dict holds weights: tensors other than the counter of an average.
fn has_tensors(pickle: &Pickle, entries: &Entries) -> bool {
    entries.iter().any(|(key, id)| *key != AVERAGED && matches!(pickle.get(*id), Value::Tensor(_)))
}

/// Which state dict was taken, where there were several.
fn note(chosen: Option<&str>, others: &[String]) -> Vec<String> {
    match chosen {
        Some(chosen) if !others.is_empty() => {
            vec![format!("the checkpoint's {chosen} was taken; {} is there too", others.join(", "))]
        }
        _ => vec![],
    }
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
