//! RoIAlign's kernel for NVIDIA cards ([`repghost_kernels::cuda`]) in this module's terms.

use repghost_kernels::cuda::{available, roi_align};
use tch::Tensor;

use super::roi::Roi;
use super::taps::Sampling;

/// As [`roi_align`](super::roi_align); `None` where no kernel serves: on the CPU, without NVRTC.
pub(super) fn roi_align(maps: &[&Tensor], scales: &[f64], rois: &[Roi], sampling: Sampling) -> Option<Tensor> {
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
