//! Which pyramid level a region is pooled from (Lin et al., Feature Pyramid Networks, equation 1).

use tch::Tensor;

use super::{roi_align, Backend, Roi, Sampling};
use crate::box_coder::Corners;

/// Side in pixels of a region that belongs to [`CANONICAL_LEVEL`]: ImageNet's crop.
const CANONICAL_SIZE: f32 = 224.0;
/// Level that a region of [`CANONICAL_SIZE`] is pooled from: C4, as in single-scale Faster R-CNN.
const CANONICAL_LEVEL: f32 = 4.0;
/// Keeps sizes that are meant to lie on a border from falling below it.
const EPSILON: f32 = 1e-6;

/// RoIAlign from a pyramid, as torchvision's `MultiScaleRoIAlign`.
#[derive(Clone, Debug)]
pub struct MultiScaleRoiAlign {
    /// Level of each map, fine to coarse and without gaps; level `l` has stride `2^l`.
    pub levels: Vec<u32>,
    /// Bins and samples. torchvision's models pool with `aligned: false`.
    pub sampling: Sampling,
    /// The implementation that computes.
    pub backend: Backend,
}

impl MultiScaleRoiAlign {
    /// A pooler of maps at `levels`.
    pub fn new(levels: &[u32], output: usize, ratio: usize) -> Self {
        Self { levels: levels.to_vec(), sampling: Sampling { output, ratio, aligned: false }, backend: Backend::Auto }
    }

    /// Position in `levels` of the level for a box.
    fn level_of(&self, bbox: Corners) -> usize {
        let (first, last) = (self.levels.first().copied().unwrap_or(0), self.levels.last().copied().unwrap_or(0));
        let size = ((bbox[2] - bbox[0]) * (bbox[3] - bbox[1])).sqrt();
        let level = (CANONICAL_LEVEL + (size / CANONICAL_SIZE).log2() + EPSILON).floor();
        // A box without area is minus infinity here, which clamps to the finest level; so does one that is not a number.
        (level.max(first as f32).min(last as f32) as usize).saturating_sub(first as usize)
    }

    /// Pools `boxes` (a list per image) from `maps` (one per level): `[sum of lengths, C, output, output]`, image by image.
    pub fn pool(&self, maps: &[&Tensor], boxes: &[Vec<Corners>]) -> Tensor {
        let roi = |image: usize, bbox: Corners| Roi { level: self.level_of(bbox), image, bbox };
        let rois: Vec<Roi> = boxes.iter().enumerate().flat_map(|(i, b)| b.iter().map(move |bbox| roi(i, *bbox))).collect();
        let scales: Vec<f64> = self.levels.iter().map(|l| 1.0 / (1u64 << l) as f64).collect();
        roi_align(maps, &scales, &rois, self.sampling, self.backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sides of 112, 224, 448 and 896 are the borders; a box without area or beyond all levels stays in range.
    #[test]
    fn sizes_to_levels() {
        let pooler = MultiScaleRoiAlign::new(&[2, 3, 4, 5], 7, 2);
        let level = |side: f32| pooler.level_of([5.0, 5.0, 5.0 + side, 5.0 + side]);
        assert_eq!([50.0, 111.9, 112.0, 223.9, 224.0, 447.0, 448.0, 5000.0].map(level), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!([level(0.0), level(f32::NAN), pooler.level_of([9.0, 0.0, 3.0, 4.0])], [0, 0, 0]);
    }
}
