//! Looking at a tensor's memory without copying it.
//!
//! The dense parts of a detector (a focal loss over millions of logits, the search for the few that matter) are single passes over
//! memory. Beside [`roi_align`](crate::roi_align) this is the one place
//! with `unsafe` in this crate.

use tch::{Device, Kind, Tensor};

/// True for a tensor that [`with_f32`] can look into: `f32`, on the CPU, rows one after another.
pub fn is_plain(t: &Tensor) -> bool {
    t.kind() == Kind::Float && t.device() == Device::Cpu && t.is_contiguous()
}

/// A handle to the values of `t` that [`with_f32`] can look into: `t` itself where possible, a copy elsewhere. No gradient.
pub fn plain(t: &Tensor) -> Tensor {
    t.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous()
}

/// Calls `f` with the elements of a plain tensor.
///
/// # Panics
/// When the tensor is not plain ([`is_plain`]).
pub fn with_f32<R>(t: &Tensor, f: impl FnOnce(&[f32]) -> R) -> R {
    assert!(is_plain(t), "{:?} on {:?} is not plain f32 memory", t.kind(), t.device());
    match t.numel() {
        0 => f(&[]),
        // SAFETY: the tensor is contiguous f32 in main memory and holds `numel` elements, and it outlives the call of `f`. The only
        // writers to its storage would be in-place operations, which no caller of this function runs inside `f`.
        n => f(unsafe { std::slice::from_raw_parts(t.data_ptr().cast::<f32>(), n) }),
    }
}
