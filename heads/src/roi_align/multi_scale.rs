//! Which pyramid level a region is pooled from (Lin et al., Feature Pyramid Networks, equation 1).

use tch::{Kind, Tensor};

use super::{roi_align, Engine, Roi, Sampling};

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
    /// Who computes.
    pub engine: Engine,
}

impl MultiScaleRoiAlign {
    /// A pooler of maps at `levels`.
    pub fn new(levels: &[u32], output: usize, ratio: usize) -> Self {
        Self { levels: levels.to_vec(), sampling: Sampling { output, ratio, aligned: false }, engine: Engine::Auto }
    }

    /// Position in `levels` of the level for a box.
    pub fn level_of(&self, bbox: [f32; 4]) -> usize {
        let (first, last) = (self.levels.first().copied().unwrap_or(0), self.levels.last().copied().unwrap_or(0));
        let size = ((bbox[2] - bbox[0]) * (bbox[3] - bbox[1])).sqrt();
        let level = (CANONICAL_LEVEL + (size / CANONICAL_SIZE).log2() + EPSILON).floor();
        // A box without area is minus infinity here, which clamps to the finest level; so does one that is not a number.
        (level.max(first as f32).min(last as f32) as usize).saturating_sub(first as usize)
    }

    /// Pools `boxes` (one `[n, 4]` tensor an image) from `maps` (one a level): `[sum of n, C, output, output]`, image by image.
    pub fn forward(&self, maps: &[&Tensor], boxes: &[Tensor]) -> Tensor {
        let mut rois = Vec::new();
        for (image, boxes) in boxes.iter().enumerate() {
            rois.extend(corners(boxes).into_iter().map(|bbox| Roi { level: self.level_of(bbox), image, bbox }));
        }
        let scales: Vec<f64> = self.levels.iter().map(|l| 1.0 / (1u64 << l) as f64).collect();
        roi_align(maps, &scales, &rois, self.sampling, self.engine)
    }
}

/// The rows of an `[n, 4]` tensor.
pub(crate) fn corners(boxes: &Tensor) -> Vec<[f32; 4]> {
    let flat = boxes.detach().to_kind(Kind::Float).reshape([-1]);
    let flat = Vec::<f32>::try_from(&flat).expect("a flat float tensor");
    flat.chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]).collect()
}
