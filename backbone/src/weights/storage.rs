//! From raw bytes and a claimed geometry to a tensor, believing nothing.

use tch::{Kind, Tensor};

use super::error::TensorError;

/// Bytes that all tensors of a file may take beyond what is stored. `torch.save` keeps `zeros(1).expand(n)` as one element, and tensors
/// that share a storage once; a file of a few bytes must not take gigabytes.
const MAX_EXPANSION: u64 = 64 << 20;

/// How far the tensors of one file may still expand.
#[derive(Debug)]
pub(super) struct Expansion(u64);

impl Default for Expansion {
    fn default() -> Self {
        Self(MAX_EXPANSION)
    }
}

impl Expansion {
    /// Takes the bytes that a copy of `elements` of a storage needs beyond those of the storage.
    fn take(&mut self, elements: u64, stored: u64, kind: Kind) -> Result<(), TensorError> {
        let extra = elements.saturating_sub(stored).saturating_mul(kind.elt_size_in_bytes() as u64);
        self.0 = self.0.checked_sub(extra).ok_or(TensorError::Expanded { elements, storage: stored, limit: MAX_EXPANSION })?;
        Ok(())
    }
}

/// A tensor's place in a storage, as a pickle claims it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// First element.
    pub offset: i64,
    /// Sizes.
    pub size: Vec<i64>,
    /// Steps in elements.
    pub stride: Vec<i64>,
}

/// A tensor of exactly these bytes.
pub(super) fn from_bytes(bytes: &[u8], shape: &[i64], kind: Kind) -> Result<Tensor, TensorError> {
    let size = kind.elt_size_in_bytes() as u64;
    let elements = shape.iter().try_fold(1u64, |n, d| n.checked_mul(u64::try_from(*d).ok()?));
    let expected = elements.and_then(|n| n.checked_mul(size)).unwrap_or(u64::MAX);
    if expected != bytes.len() as u64 {
        return Err(TensorError::Bytes { shape: shape.to_vec(), expected, found: bytes.len() as u64 });
    }
    if kind == Kind::Bool {
        // Bytes other than 0 and 1 are not booleans to C++; any non-zero byte means true.
        return Ok(Tensor::from_data_size(bytes, shape, Kind::Uint8).ne(0));
    }
    Ok(Tensor::from_data_size(bytes, shape, kind))
}

/// A contiguous tensor of the elements that `geometry` picks from the one-dimensional `storage`. A tensor that is the whole storage
/// shares its memory.
pub(super) fn pick(storage: &Tensor, geometry: &Geometry, expansion: &mut Expansion) -> Result<Tensor, TensorError> {
    let Geometry { offset, size, stride } = geometry;
    let stored = storage.numel() as u64;
    let bad = || TensorError::Geometry { size: size.clone(), stride: stride.clone(), offset: *offset };
    if size.len() != stride.len() || *offset < 0 || size.iter().chain(stride).any(|v| *v < 0) {
        return Err(bad());
    }
    let elements = size.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64)).ok_or_else(bad)?;
    if elements == 0 {
        return Ok(storage.narrow(0, 0, 0).reshape(size.as_slice()));
    }
    let reach = size
        .iter()
        .zip(stride)
        .try_fold(*offset as u64, |last, (d, s)| last.checked_add((*d as u64 - 1).checked_mul(*s as u64)?));
    let last = reach.ok_or_else(bad)?;
    if last >= stored {
        return Err(TensorError::OutOfStorage { last, storage: stored });
    }
    expansion.take(elements, stored, storage.kind())?;
    Ok(storage.as_strided(size.as_slice(), stride.as_slice(), *offset).contiguous())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: i64, size: &[i64], stride: &[i64]) -> Result<Vec<f32>, TensorError> {
        let storage = Tensor::from_slice(&[0f32, 1., 2., 3., 4., 5.]);
        let geometry = Geometry { offset, size: size.to_vec(), stride: stride.to_vec() };
        pick(&storage, &geometry, &mut Expansion::default()).map(|t| Vec::try_from(t.reshape([-1])).unwrap())
    }

    #[test]
    fn strides_and_offsets_are_respected() {
        assert_eq!(place(0, &[2, 3], &[3, 1]).unwrap(), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(place(0, &[3, 2], &[1, 3]).unwrap(), [0., 3., 1., 4., 2., 5.]);
        assert_eq!(place(4, &[2], &[1]).unwrap(), [4., 5.]);
        assert_eq!(place(5, &[3], &[0]).unwrap(), [5., 5., 5.]);
        assert_eq!(place(3, &[], &[]).unwrap(), [3.]);
        assert!(place(0, &[0, 7], &[7, 1]).unwrap().is_empty());
    }

    #[test]
    fn nothing_outside_the_storage_is_read() {
        assert_eq!(place(4, &[3], &[1]), Err(TensorError::OutOfStorage { last: 6, storage: 6 }));
        assert_eq!(place(6, &[], &[]), Err(TensorError::OutOfStorage { last: 6, storage: 6 }));
        assert!(matches!(place(-1, &[2], &[1]), Err(TensorError::Geometry { .. })));
        assert!(matches!(place(0, &[-2], &[1]), Err(TensorError::Geometry { .. })));
        assert!(matches!(place(0, &[2], &[-1]), Err(TensorError::Geometry { .. })));
        assert!(matches!(place(0, &[2, 2], &[1]), Err(TensorError::Geometry { .. })));
        assert!(matches!(place(0, &[i64::MAX, i64::MAX], &[0, 0]), Err(TensorError::Geometry { .. })));
        assert!(matches!(place(0, &[3], &[i64::MAX]), Err(TensorError::OutOfStorage { .. } | TensorError::Geometry { .. })));
        assert_eq!(
            place(0, &[1 << 40], &[0]),
            Err(TensorError::Expanded { elements: 1 << 40, storage: 6, limit: MAX_EXPANSION })
        );
    }

    /// The limit is the file's: a tensor that fits alone does not fit twice.
    #[test]
    fn expansion_is_limited_per_file() {
        let storage = Tensor::from_slice(&[1f32]);
        let half = Geometry { offset: 0, size: vec![MAX_EXPANSION as i64 / 4 / 2], stride: vec![0] };
        let mut file = Expansion::default();
        assert!(pick(&storage, &half, &mut file).is_ok());
        assert!(pick(&storage, &half, &mut file).is_ok());
        assert!(matches!(pick(&storage, &half, &mut file), Err(TensorError::Expanded { .. })));
    }

    #[test]
    fn bytes_must_be_as_many_as_the_shape_needs() {
        let wrong = from_bytes(&[0; 8], &[3], Kind::Float).unwrap_err();
        assert_eq!(wrong, TensorError::Bytes { shape: vec![3], expected: 12, found: 8 });
        assert!(from_bytes(&[0; 8], &[i64::MAX, 4], Kind::Float).is_err());
        assert!(from_bytes(&[0; 8], &[-2], Kind::Float).is_err());
        let flags = from_bytes(&[0, 1, 7], &[3], Kind::Bool).unwrap();
        assert_eq!(Vec::<bool>::try_from(flags).unwrap(), [false, true, true]);
    }
}
