//! The constructors that are understood. Everything else becomes an inert [`Value::Object`].

use tch::Kind;

use super::{Id, PickleError, StorageRef, TensorRef, Value, Values};
use crate::weights::storage::Geometry;

const ORDERED_DICT: &str = "collections.OrderedDict";
const REBUILD_TENSOR: [&str; 2] = ["torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"];
const REBUILD_PARAMETER: [&str; 2] = ["torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"];
const ENCODE: &str = "_codecs.encode";
/// Classes that checkpoints commonly contain and that are safe to skip: kept as objects, not reported as foreign.
const COMMON_CLASSES: [&str; 6] = [
    "argparse.Namespace",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "torch.Size",
    "torch.device",
];
/// Storage classes by name behind `torch.` (or `torch.cuda.`).
const STORAGES: [(&str, Kind); 9] = [
    ("FloatStorage", Kind::Float),
    ("DoubleStorage", Kind::Double),
    ("HalfStorage", Kind::Half),
    ("BFloat16Storage", Kind::BFloat16),
    ("LongStorage", Kind::Int64),
    ("IntStorage", Kind::Int),
    ("CharStorage", Kind::Int8),
    ("ByteStorage", Kind::Uint8),
    ("BoolStorage", Kind::Bool),
];

pub(super) fn is_known(path: &str) -> bool {
    path == ORDERED_DICT
        || path == ENCODE
        || REBUILD_TENSOR.contains(&path)
        || REBUILD_PARAMETER.contains(&path)
        || COMMON_CLASSES.contains(&path)
        || is_storage_class(path)
}

fn is_storage_class(path: &str) -> bool {
    path.starts_with("torch.") && path.ends_with("Storage")
}

fn storage_kind(path: &str) -> Option<Kind> {
    let name = path.strip_prefix("torch.")?;
    let name = name.strip_prefix("cuda.").unwrap_or(name);
    STORAGES.iter().find(|(n, _)| *n == name).map(|(_, kind)| *kind)
}

/// The value of calling `callable` with `arguments`.
pub(super) fn construct(m: &Values, callable: Id, arguments: Id) -> Result<Value, PickleError> {
    let Value::Global(class) = m.get(callable) else {
        return Err(PickleError::Type { expected: "a global to call", at: m.at });
    };
    let items: &[Id] = match m.get(arguments) {
        Value::Tuple(items) => items,
        _ => &[],
    };
    if class == ORDERED_DICT {
        return ordered_dict(m, items);
    }
    if REBUILD_TENSOR.contains(&class.as_str()) {
        return tensor(m, items).map(|t| Value::Tensor(Box::new(t))).ok_or_else(|| bad(m, class));
    }
    if REBUILD_PARAMETER.contains(&class.as_str()) {
        return match items.first().map(|id| m.get(*id)) {
            Some(Value::Tensor(t)) => Ok(Value::Tensor(t.clone())),
            _ => Err(bad(m, class)),
        };
    }
    if class == ENCODE {
        // How protocol 2 spells bytes: text whose characters are the bytes.
        if let Some(Value::Str(text)) = items.first().map(|id| m.get(*id)) {
            if let Ok(bytes) = text.chars().map(|c| u8::try_from(u32::from(c))).collect() {
                return Ok(Value::Bytes(bytes));
            }
        }
    }
    Ok(Value::Object { class: class.clone(), arguments, state: None })
}

fn bad(m: &Values, constructor: &str) -> PickleError {
    PickleError::Tensor { constructor: constructor.to_string(), at: m.at }
}

/// `OrderedDict()` or, from Python 2, `OrderedDict([[key, value], …])`.
fn ordered_dict(m: &Values, arguments: &[Id]) -> Result<Value, PickleError> {
    let wrong = PickleError::Type { expected: "pairs for an OrderedDict", at: m.at };
    let Some(first) = arguments.first() else { return Ok(Value::Dict(vec![])) };
    let Value::List(pairs) = m.get(*first) else { return Err(wrong) };
    let pair = |id: &Id| match m.get(*id) {
        Value::List(p) | Value::Tuple(p) if p.len() == 2 => Some((p[0], p[1])),
        _ => None,
    };
    pairs.iter().map(pair).collect::<Option<Vec<_>>>().map(Value::Dict).ok_or(wrong)
}

/// `(storage, offset, size, stride, …)`.
fn tensor(m: &Values, arguments: &[Id]) -> Option<TensorRef> {
    let [storage, offset, size, stride, ..] = arguments else { return None };
    let Value::Storage(storage) = m.get(*storage) else { return None };
    let Value::Int(offset) = m.get(*offset) else { return None };
    let integers = |id: &Id| match m.get(*id) {
        Value::Tuple(items) => items.iter().map(|i| integer(m, *i)).collect::<Option<Vec<i64>>>(),
        // torch.Size(tuple)
        Value::Object { class, arguments, .. } if class == "torch.Size" => {
            let Value::Tuple(outer) = m.get(*arguments) else { return None };
            let Value::Tuple(items) = m.get(*outer.first()?) else { return None };
            items.iter().map(|i| integer(m, *i)).collect()
        }
        _ => None,
    };
    let geometry = Geometry { offset: *offset, size: integers(size)?, stride: integers(stride)? };
    Some(TensorRef { storage: (**storage).clone(), geometry })
}

fn integer(m: &Values, id: Id) -> Option<i64> {
    match m.get(id) {
        Value::Int(i) => Some(*i),
        _ => None,
    }
}

/// The storage that a persistent id `('storage', class, key, location, elements[, view])` names.
pub(super) fn storage(m: &Values, id: Id) -> Result<StorageRef, PickleError> {
    let wrong = |reason| PickleError::Storage { reason, at: m.at };
    let Value::Tuple(items) = m.get(id) else { return Err(wrong("not a tuple")) };
    let [tag, class, key, _location, elements, rest @ ..] = items.as_slice() else {
        return Err(wrong("too few fields"));
    };
    if m.get(*tag) != &Value::Str("storage".into()) {
        return Err(wrong("no 'storage' tag"));
    }
    let Value::Global(class) = m.get(*class) else { return Err(wrong("no class")) };
    if !is_storage_class(class) {
        return Err(wrong("not a torch storage class"));
    }
    let Value::Str(key) = m.get(*key) else { return Err(wrong("no key")) };
    let elements = integer(m, *elements).and_then(|n| u64::try_from(n).ok());
    let elements = elements.ok_or_else(|| wrong("no number of elements"))?;
    if rest.iter().any(|id| m.get(*id) != &Value::None) {
        return Err(wrong("a view of another storage, from PyTorch before 0.4"));
    }
    Ok(StorageRef { key: key.clone(), kind: storage_kind(class), class: class.clone(), elements })
}
