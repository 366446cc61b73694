//! Memory of a card, as libtorch's allocator counts it.

use std::ffi::{c_char, c_int};

use tch::kind::Element;
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::shim::{check, ShimError};

extern "C" {
    fn repghost_memory(device: c_int, out: *mut i64) -> *mut c_char;
    fn repghost_reset_peak(device: c_int) -> *mut c_char;
    fn repghost_empty_cache() -> *mut c_char;
    fn repghost_pinned(size: *const i64, dims: usize, kind: c_int, out: *mut *mut C_tensor) -> *mut c_char;
}

/// Bytes on a card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In tensors.
    pub used: u64,
    /// In tensors, at most since the start or [`reset_peak`].
    pub peak: u64,
    /// Taken from the card, tensors and free blocks.
    pub held: u64,
    /// Taken from the card, at most.
    pub peak_held: u64,
    /// Free on the card; 0 where it is not known.
    pub free: u64,
    /// Of the card; 0 where it is not known.
    pub total: u64,
}

/// What the allocator holds on a card; `None` on other devices.
///
/// # Errors
/// When libtorch refuses.
pub fn usage(device: Device) -> Result<Option<Usage>, ShimError> {
    let Device::Cuda(number) = device else { return Ok(None) };
    let mut n = [0i64; 6];
    // SAFETY: the shim writes six numbers.
    unsafe { check(repghost_memory(number as c_int, n.as_mut_ptr()))? };
    let [used, peak, held, peak_held, free, total] = n.map(|v| u64::try_from(v).unwrap_or(0));
    Ok(Some(Usage { used, peak, held, peak_held, free, total }))
}

/// Lets the peaks start anew.
///
/// # Errors
/// When libtorch refuses.
pub fn reset_peak(device: Device) -> Result<(), ShimError> {
    let Device::Cuda(number) = device else { return Ok(()) };
    // SAFETY: a plain number.
    unsafe { check(repghost_reset_peak(number as c_int)) }
}

/// Gives free blocks back to the card.
///
/// # Errors
/// When libtorch refuses.
pub fn empty_cache(device: Device) -> Result<(), ShimError> {
    match device {
        // SAFETY: no arguments.
        Device::Cuda(_) => unsafe { check(repghost_empty_cache()) },
        _ => Ok(()),
    }
}

/// A tensor of bytes, floats or integers on the host, in memory that a card reads and writes by itself. Its values are not set.
///
/// # Errors
/// Other kinds; a libtorch without a card.
pub fn pinned(size: &[i64], kind: Kind) -> Result<Tensor, ShimError> {
    // Numbers of `at::ScalarType`.
    let number = match kind {
        Kind::Uint8 => 0,
        Kind::Int => 3,
        Kind::Int64 => 4,
        Kind::Float => 6,
        other => return Err(ShimError(format!("no pinned memory for {other:?}"))),
    };
    let mut out = std::ptr::null_mut();
    // SAFETY: the size lives through the call, which hands a new tensor over.
    unsafe {
        check(repghost_pinned(size.as_ptr(), size.len(), number, &mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// Values of the host in pinned memory.
///
/// # Errors
/// As [`pinned`]; a shape of another number of values.
pub fn pinned_copy<T: Element>(values: &[T], size: &[i64]) -> Result<Tensor, ShimError> {
    if size.iter().product::<i64>() != values.len() as i64 {
        return Err(ShimError(format!("{} values are no {size:?}", values.len())));
    }
    let tensor = pinned(size, T::KIND)?;
    // SAFETY: the tensor is fresh, contiguous, on the host, and of as many values of that type.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), tensor.data_ptr() as *mut T, values.len()) };
    Ok(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_has_no_card() {
        assert_eq!(usage(Device::Cpu).unwrap(), None);
        assert!(reset_peak(Device::Cpu).is_ok() && empty_cache(Device::Cpu).is_ok());
        assert!(pinned(&[2], Kind::Double).is_err() && pinned_copy(&[1.0f32], &[2]).is_err());
    }
}
