//! The focal loss's kernel for NVIDIA cards ([`repghost_kernels::cuda`]) in this crate's terms. The function returns `None` where no kernel
//! serves: on the CPU, without NVRTC; the caller's tensor operations do then.

use repghost_kernels::cuda::{available, focal, upload};
use tch::Tensor;

/// Number of an anchor that is background in `focal_loss`.
pub(crate) use repghost_kernels::cuda::focal::BACKGROUND;
/// Number of an anchor that takes no part in `focal_loss`.
pub(crate) use repghost_kernels::cuda::focal::IGNORED;

/// The focal loss of logits `[N, A, C]`. `classes` gives the class of each anchor, or [`BACKGROUND`] or [`IGNORED`], image by image; it is called
/// where a kernel serves. One scale per image.
pub(crate) fn focal_loss(
    logits: &Tensor,
    classes: impl FnOnce() -> Vec<i32>,
    scales: &[f64],
    [alpha, gamma]: [f64; 2],
) -> Option<Tensor> {
    let device = logits.device();
    if !available(device) {
        return None;
    }
    let classes = upload(&classes(), device).view([scales.len() as i64, -1]);
    let scales: Vec<f32> = scales.iter().map(|scale| *scale as f32).collect();
    let settings = focal::Focal { alpha: alpha as f32, gamma: gamma as f32 };
    focal::loss(logits, &classes, &upload(&scales, device), settings)
}
