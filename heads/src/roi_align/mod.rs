//! RoIAlign (He et al., Mask R-CNN, 2017): features of a region on a fixed grid, by bilinear samples.
//!
//! Semantics are torchvision's `roi_align`, both `aligned` settings, fixed and adaptive sampling. On the CPU a threaded kernel of
//! our own runs forward and backward; elsewhere the same weights go through one tensor operation. `docs/roi_align.md` compares it
//! with other implementations, with figures.

mod kernel;
mod multi_scale;
mod on_card;
pub mod roi;
mod simd;
pub mod taps;
mod tensor_ops;

pub use multi_scale::MultiScaleRoiAlign;
pub use roi::Roi;
pub use taps::Sampling;

use std::collections::BTreeMap;
use std::sync::Arc;

use repghost_kernels::custom_op::with_backward;
use tch::{Device, Kind, Tensor};

use crate::host::{f32_slice, f32_slice_mut, to_cpu_f32};
use kernel::{Group, Shape};
use taps::RoiTaps;

/// The implementation that computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// A kernel on the CPU and on cards that can have one, tensor operations elsewhere.
    #[default]
    Auto,
    /// Tensor operations on any device.
    TensorOps,
}

/// Pools `rois` from `maps` (`[N, C, H, W]` each, with `scales` feature pixels an image pixel): `[rois, C, output, output]`.
/// Gradients flow to the maps, not to the regions.
///
/// # Panics
/// When maps and scales differ in number, maps in their channels, or a region names a level or image that is not there.
pub fn roi_align(maps: &[&Tensor], scales: &[f64], rois: &[Roi], sampling: Sampling, backend: Backend) -> Tensor {
    assert!(!maps.is_empty() && maps.len() == scales.len(), "{} maps but {} scales", maps.len(), scales.len());
    let shapes: Vec<Shape> = maps.iter().map(|m| shape_of(m)).collect();
    assert!(shapes.iter().all(|s| s.channels == shapes[0].channels), "maps differ in their channels");
    if backend == Backend::Auto && maps[0].device() != Device::Cpu {
        if let Some(pooled) = on_card::roi_align(maps, scales, rois, sampling) {
            return pooled;
        }
    }
    let groups = group(rois, sampling, scales, &shapes);
    if backend == Backend::TensorOps || maps[0].device() != Device::Cpu {
        return tensor_ops::forward(maps, &groups, rois.len(), sampling.output);
    }
    let kind = maps[0].kind();
    let side = sampling.output as i64;
    let held: Vec<Tensor> = maps.iter().map(|m| to_cpu_f32(m)).collect();
    let mut out = Tensor::empty([rois.len() as i64, shapes[0].channels as i64, side, side], (Kind::Float, Device::Cpu));
    let views: Vec<(&[f32], Shape)> = held.iter().map(f32_slice).zip(shapes.iter().copied()).collect();
    kernel::forward(&views, &groups, sampling.output, f32_slice_mut(&mut out));
    let groups = Arc::new(groups);
    with_backward(out.to_kind(kind), maps, move |grad| {
        let grad = to_cpu_f32(grad);
        let one = |(level, shape): (usize, &Shape)| {
            let size = [shape.images, shape.channels, shape.height, shape.width].map(|d| d as i64);
            let mut into = Tensor::empty(size, (Kind::Float, Device::Cpu));
            kernel::backward(*shape, level, &groups, sampling.output, f32_slice(&grad), f32_slice_mut(&mut into));
            into.to_kind(kind)
        };
        shapes.iter().enumerate().map(one).collect()
    })
}

fn shape_of(map: &Tensor) -> Shape {
    let (n, c, h, w) = map.size4().expect("a feature map has four dimensions");
    let [images, channels, height, width] = [n, c, h, w].map(|d| d as usize);
    Shape { images, channels, height, width }
}

/// Regions by level and image, in their order.
fn group(rois: &[Roi], sampling: Sampling, scales: &[f64], shapes: &[Shape]) -> Vec<Group> {
    let mut by_place: BTreeMap<(usize, usize), Vec<(usize, RoiTaps)>> = BTreeMap::new();
    for (position, roi) in rois.iter().enumerate() {
        let shape = &shapes[roi.level];
        assert!(roi.image < shape.images, "region of image {} in a batch of {}", roi.image, shape.images);
        let taps = RoiTaps::new(sampling, roi.bbox, scales[roi.level] as f32, [shape.height, shape.width]);
        by_place.entry((roi.level, roi.image)).or_default().push((position, taps));
    }
    by_place.into_iter().map(|((level, image), rois)| Group { level, image, rois }).collect()
}
