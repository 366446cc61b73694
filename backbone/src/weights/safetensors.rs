//! The safetensors container, through its own crate.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::path::Path;

use ::safetensors::tensor::{SafeTensors, View};
use ::safetensors::Dtype;
use tch::{Device, Kind, Tensor};

use super::error::{TensorError, WeightsError};
use super::{storage, StateDict};

/// Element kinds that both sides have.
const KINDS: [(Dtype, Kind); 9] = [
    (Dtype::F32, Kind::Float),
    (Dtype::F64, Kind::Double),
    (Dtype::F16, Kind::Half),
    (Dtype::BF16, Kind::BFloat16),
    (Dtype::I64, Kind::Int64),
    (Dtype::I32, Kind::Int),
    (Dtype::I8, Kind::Int8),
    (Dtype::U8, Kind::Uint8),
    (Dtype::BOOL, Kind::Bool),
];

pub(super) fn read(path: &Path, mut file: impl Read) -> Result<StateDict, WeightsError> {
    let wrong = |source| WeightsError::Safetensors { path: path.into(), source };
    let mut bytes = vec![];
    file.read_to_end(&mut bytes).map_err(|e| WeightsError::io(path, e))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(wrong)?;
    let views = SafeTensors::deserialize(&bytes).map_err(wrong)?;
    let mut state = StateDict::default();
    for name in header.offset_keys() {
        let view = views.tensor(&name).map_err(wrong)?;
        let tensor = tensor_of(&view).map_err(|source| WeightsError::Tensor { path: path.into(), name: name.clone(), source })?;
        state.tensors.push((name, tensor));
    }
    state.metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(state)
}

fn tensor_of(view: &::safetensors::tensor::TensorView) -> Result<Tensor, TensorError> {
    let kind = KINDS.iter().find(|(d, _)| *d == view.dtype()).map(|(_, k)| *k);
    let kind = kind.ok_or_else(|| TensorError::Kind(format!("{:?}", view.dtype())))?;
    let shape: Vec<i64> = view.shape().iter().map(|d| *d as i64).collect();
    storage::from_bytes(view.data(), &shape, kind)
}

pub(super) fn write(path: &Path, state: &StateDict) -> Result<(), WeightsError> {
    let mut seen = HashSet::new();
    let mut views = Vec::with_capacity(state.len());
    for (name, tensor) in &state.tensors {
        if !seen.insert(name) {
            return Err(WeightsError::DuplicateName { path: path.into(), name: name.clone() });
        }
        let view = Owned::new(tensor);
        let view = view.map_err(|source| WeightsError::Tensor { path: path.into(), name: name.clone(), source })?;
        views.push((name, view));
    }
    let wrong = |source| WeightsError::Safetensors { path: path.into(), source };
    let plain = ::safetensors::serialize(views, None).map_err(wrong)?;
    let (header, data) = with_metadata(&plain, state).map_err(|e| wrong(e.into()))?;
    repghost_files::write_atomic(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        file.write_all(data)
    })
    .map_err(|e| WeightsError::io(path, e))
}

/// The header of a serialized file with the metadata put in, sorted by key, and the data behind it.
///
/// The crate keeps metadata in a `HashMap` and so writes it in another order each time; equal weights should be equal files.
fn with_metadata<'a>(plain: &'a [u8], state: &StateDict) -> Result<(Vec<u8>, &'a [u8]), serde_json::Error> {
    let (length, rest) = plain.split_at(8);
    let length = length.iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b));
    let (header, data) = rest.split_at(length);
    if state.metadata.is_empty() {
        return Ok((header.to_vec(), data));
    }
    let tensors = header.trim_ascii_end();
    let mut with = b"{\"__metadata__\":".to_vec();
    with.extend(serde_json::to_vec(&state.metadata)?);
    if tensors != b"{}" {
        with.push(b',');
    }
    with.extend(&tensors[1..]);
    with.resize(with.len().next_multiple_of(8), b' ');
    Ok((with, data))
}

/// A tensor's bytes, ready to be written.
struct Owned {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Owned {
    fn new(tensor: &Tensor) -> Result<Self, TensorError> {
        let kind = tensor.kind();
        let dtype = KINDS.iter().find(|(_, k)| *k == kind).map(|(d, _)| *d);
        let dtype = dtype.ok_or_else(|| TensorError::Kind(format!("{kind:?}")))?;
        let tensor = tch::no_grad(|| tensor.detach().to_device(Device::Cpu).contiguous());
        let mut bytes = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
        if !bytes.is_empty() {
            tensor.copy_data_u8(&mut bytes, tensor.numel());
        }
        Ok(Self { dtype, shape: tensor.size().iter().map(|d| *d as usize).collect(), bytes })
    }
}

impl View for Owned {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
