//! The kernels for NVIDIA cards ([`repghost_kernels::cuda`]) in this crate's terms. Each function returns `None` where no kernel serves: on the
//! CPU, without NVRTC; the caller's tensor operations do then.

use repghost_kernels::cuda::{available, focal, roi_align, upload};
use tch::Tensor;

use crate::losses::{ClassTarget, Focal};
use crate::roi_align::{Roi, Sampling};

/// [`Focal::loss`].
pub(crate) fn focal_loss(focal: &Focal, logits: &Tensor, targets: &[Vec<ClassTarget>], scales: &[f64]) -> Option<Tensor> {
    let device = logits.device();
    if !available(device) {
        return None;
    }
    let number = |target: &ClassTarget| match target {
        ClassTarget::Class(class) => *class as i32,
        ClassTarget::Background => focal::BACKGROUND,
        ClassTarget::Ignored => focal::IGNORED,
    };
    let classes: Vec<i32> = targets.iter().flatten().map(number).collect();
    let classes = upload(&classes, device).view([targets.len() as i64, -1]);
    let scales: Vec<f32> = scales.iter().map(|scale| *scale as f32).collect();
    let settings = focal::Focal { alpha: focal.alpha as f32, gamma: focal.gamma as f32 };
    focal::loss(logits, &classes, &upload(&scales, device), settings)
}

/// [`crate::roi_align::roi_align`].
pub(crate) fn roi_align(maps: &[&Tensor], scales: &[f64], rois: &[Roi], sampling: Sampling) -> Option<Tensor> {
    if !available(maps.first()?.device()) {
        return None;
    }
    let region = |roi: &Roi| roi_align::Region { level: roi.level, image: roi.image, bbox: roi.bbox };
    let regions: Vec<roi_align::Region> = rois.iter().map(region).collect();
    let scales: Vec<f32> = scales.iter().map(|scale| *scale as f32).collect();
    let sampling =
        roi_align::Sampling { bins: sampling.output as i32, ratio: sampling.ratio as i32, aligned: i32::from(sampling.aligned) };
    roi_align::pool(maps, &scales, &regions, sampling)
}
