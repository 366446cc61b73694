//! RoIAlign on the CPU, forward and backward.
//!
//! A map in `[C, H, W]` order forces a gather for every channel, sample and corner. Here channels go in slabs of [`LANES`]: the slab's
//! plane is transposed once to `[H * W][LANES]`, and from there on one weight serves a whole vector of channels. Per region the
//! sum is split by axis: each needed row is reduced to its bins first, and then added to the row bins it belongs to.
//!
//! A task is one slab of one image at one level. It alone writes its channels of the output (forward) or of the gradient
//! (backward), so tasks run on all cores without locks, and every sum has the same order on any number of cores.

use rayon::prelude::*;

use super::simd::{self, Vector, LANES};
use super::taps::RoiTaps;

/// A feature map `[N, C, H, W]` in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub images: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Shape {
    fn area(&self) -> usize {
        self.height * self.width
    }

    pub fn len(&self) -> usize {
        self.images * self.channels * self.area()
    }
}

/// The regions of one image at one level, and where each stands in the output.
#[derive(Debug)]
pub(crate) struct Group {
    pub level: usize,
    pub image: usize,
    /// Position in the output, and taps.
    pub rois: Vec<(usize, RoiTaps)>,
}

/// A pointer that tasks share, each writing elements that no other task touches.
#[derive(Clone, Copy)]
struct Disjoint(*mut f32);

// SAFETY: see `forward`, the only user: elements are written by one task each.
unsafe impl Send for Disjoint {}
unsafe impl Sync for Disjoint {}

impl Disjoint {
    /// # Safety
    /// `start..start + len` lies within the buffer and no other task touches it meanwhile.
    #[allow(clippy::mut_from_ref)]
    unsafe fn slice(&self, start: usize, len: usize) -> &mut [f32] {
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

/// Pools every region of `groups` into `out [rois, C, bins, bins]`. Regions that are in no group keep what `out` held.
///
/// # Panics
/// When a slice is shorter than its shape, or a group names a level, image or position that is not there.
pub(crate) fn forward(maps: &[(&[f32], Shape)], groups: &[Group], bins: usize, out: &mut [f32]) {
    let cell = bins * bins;
    let channels = maps.first().map_or(0, |m| m.1.channels);
    for group in groups {
        let (map, shape) = &maps[group.level];
        assert!(map.len() >= shape.len() && shape.channels == channels && group.image < shape.images, "map and shape disagree");
        assert!(group.rois.iter().all(|(i, _)| (i + 1) * channels * cell <= out.len()), "output too short");
    }
    let shared = Disjoint(out.as_mut_ptr());
    let slabs = channels.div_ceil(LANES);
    (0..groups.len() * slabs).into_par_iter().for_each(|task| {
        let (group, slab) = (&groups[task / slabs], task % slabs);
        let (map, shape) = maps[group.level];
        let first = slab * LANES;
        let count = LANES.min(channels - first);
        let start = (group.image * channels + first) * shape.area();
        let plane = simd::interleave(&map[start..start + count * shape.area()], shape.area());
        let mut acc = vec![Vector::default(); cell];
        let mut row = vec![Vector::default(); bins];
        for (position, taps) in &group.rois {
            simd::pool(&plane, shape.width, taps, &mut row, &mut acc);
            // SAFETY: these channels of this region belong to this task alone (a region is in one group), and the bounds were
            // checked above.
            let target = unsafe { shared.slice((position * channels + first) * cell, count * cell) };
            simd::deinterleave(&acc, target);
        }
    });
}

/// The gradient of [`forward`] at level `level`: `grad [rois, C, bins, bins]` to `into [N, C, H, W]`, which is overwritten.
pub(crate) fn backward(shape: Shape, level: usize, groups: &[Group], bins: usize, grad: &[f32], into: &mut [f32]) {
    let cell = bins * bins;
    let (channels, area) = (shape.channels, shape.area());
    let slab_size = LANES * area;
    if area == 0 || channels == 0 {
        return;
    }
    into.par_chunks_mut(channels * area).enumerate().for_each(|(image, into)| {
        let group = groups.iter().find(|g| g.level == level && g.image == image);
        into.par_chunks_mut(slab_size).enumerate().for_each(|(slab, into)| {
            let Some(group) = group else {
                return into.fill(0.0);
            };
            let first = slab * LANES;
            let count = into.len() / area;
            let mut plane = vec![Vector::default(); area];
            let mut incoming = vec![Vector::default(); cell];
            let mut row = vec![Vector::default(); bins];
            for (position, taps) in &group.rois {
                let start = (position * channels + first) * cell;
                simd::interleave_into(&grad[start..start + count * cell], &mut incoming);
                simd::scatter(&incoming, shape.width, taps, &mut row, &mut plane);
            }
            simd::deinterleave(&plane, into);
        });
    });
}
