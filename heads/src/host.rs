//! Tensors in main memory, read and written without a copy.
//!
//! The dense parts of a detector (a focal loss over millions of logits, the search for the few that matter, RoIAlign) are single passes over
//! memory. All of them come through here: beside the kernels of [`roi_align`](crate::roi_align) this is the one place with `unsafe` in this
//! crate, and [`to_cpu_f32`] is the one way from a device to main memory, and [`upload`] the one back.

use repghost_kernels::device::{to_device, to_host};
use tch::{Device, Kind, Tensor};

/// True for a tensor that [`f32_slice`] can borrow: `f32`, on the CPU, contiguous.
pub(crate) fn is_cpu_f32(t: &Tensor) -> bool {
    t.kind() == Kind::Float && t.device() == Device::Cpu && t.is_contiguous()
}

/// The values of `t` as a tensor that [`f32_slice`] can borrow: `t` itself where possible, a copy elsewhere. Gradients are not tracked.
pub(crate) fn to_cpu_f32(t: &Tensor) -> Tensor {
    // Without pinned memory the copy is slower, and is as good.
    to_host(t).unwrap_or_else(|_| t.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous())
}

/// A tensor that the host has made, on `device`. A card is not waited for: it reads pinned memory by itself.
pub(crate) fn upload(made: &Tensor, device: Device) -> Tensor {
    // Without pinned memory the copy waits, and is as good.
    to_device(made, device).unwrap_or_else(|_| made.to_device(device))
}

/// The elements of a contiguous `f32` tensor in main memory.
///
/// # Panics
/// For other tensors ([`is_cpu_f32`]).
pub(crate) fn f32_slice(t: &Tensor) -> &[f32] {
    check(t);
    match t.numel() {
        0 => &[],
        // SAFETY: the tensor is contiguous f32 in main memory and holds `numel` elements, which live as long as the borrow of its handle. The
        // only writers to its storage would be in-place operations, which no caller runs while it holds the slice.
        n => unsafe { std::slice::from_raw_parts(t.data_ptr().cast::<f32>(), n) },
    }
}

/// [`f32_slice`] to be written to. The tensor has been made by the caller, which holds its only handle.
///
/// # Panics
/// As [`f32_slice`].
pub(crate) fn f32_slice_mut(t: &mut Tensor) -> &mut [f32] {
    check(t);
    match t.numel() {
        0 => &mut [],
        // SAFETY: as in `f32_slice`, and nothing else refers to the memory, as the caller holds the only handle to it.
        n => unsafe { std::slice::from_raw_parts_mut(t.data_ptr().cast::<f32>(), n) },
    }
}

/// A new tensor of zeros whose elements `f` fills.
pub(crate) fn from_fn(shape: &[i64], f: impl FnOnce(&mut [f32])) -> Tensor {
    let mut t = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
    f(f32_slice_mut(&mut t));
    t
}

fn check(t: &Tensor) {
    assert!(is_cpu_f32(t), "{:?} on {:?} is not contiguous f32 in main memory", t.kind(), t.device());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_fills() {
        let t = from_fn(&[2, 3], |v| v.iter_mut().enumerate().for_each(|(i, v)| *v = i as f32));
        assert_eq!(t.size(), [2, 3]);
        assert_eq!(f32_slice(&t), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let turned = t.tr();
        assert!(!is_cpu_f32(&turned));
        assert_eq!(f32_slice(&to_cpu_f32(&turned)), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(from_fn(&[0, 4], |v| assert!(v.is_empty())).numel(), 0);
        assert!(!is_cpu_f32(&t.to_kind(Kind::Double)));
    }
}
