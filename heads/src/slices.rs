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
    check(t);
    match t.numel() {
        0 => f(&[]),
        // SAFETY: the tensor is contiguous f32 in main memory and holds `numel` elements, and it outlives the call of `f`. The only
        // writers to its storage would be in-place operations, which no caller of this function runs inside `f`.
        n => f(unsafe { std::slice::from_raw_parts(t.data_ptr().cast::<f32>(), n) }),
    }
}

/// Calls `f` with the elements of a fresh tensor of zeros, to be filled, and returns that tensor.
pub fn filled(shape: &[i64], f: impl FnOnce(&mut [f32])) -> Tensor {
    let t = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    check(&t);
    if t.numel() > 0 {
        // SAFETY: contiguous, initialised f32 memory of `numel` elements that nothing else refers to, as the tensor was made above.
        f(unsafe { std::slice::from_raw_parts_mut(t.data_ptr().cast::<f32>(), t.numel()) });
    } else {
        f(&mut []);
    }
    t
}

fn check(t: &Tensor) {
    assert!(is_plain(t), "{:?} on {:?} is not plain f32 memory", t.kind(), t.device());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_fills() {
        let t = filled(&[2, 3], |v| v.iter_mut().enumerate().for_each(|(i, v)| *v = i as f32));
        assert_eq!(t.size(), [2, 3]);
        assert_eq!(with_f32(&t, |v| v.to_vec()), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let turned = t.tr();
        assert!(!is_plain(&turned));
        assert_eq!(with_f32(&plain(&turned), |v| v.to_vec()), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(filled(&[0, 4], |v| assert!(v.is_empty())).numel(), 0);
        assert!(!is_plain(&t.to_kind(Kind::Double)));
    }
}
