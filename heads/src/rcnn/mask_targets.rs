//! Training targets of the mask head: an object's mask, cropped by a proposal's box and resized.
//!
//! torchvision runs RoIAlign over full-size masks in floating point. Here a mask is the crop that the loader made, bytes of zeros and
//! ones: pixels beyond it are zero, so only taps within it count, and only masks of sampled foreground are looked at.

use rayon::prelude::*;
use tch::Tensor;

use crate::box_coder::Corners;
use crate::host::from_fn;
use crate::roi_align::taps::{AxisTaps, Sampling};
use crate::types::CroppedMask;

/// One target to make: a region of an object.
pub(super) struct Wanted<'a> {
    pub bbox: Corners,
    /// The object's mask.
    pub mask: &'a CroppedMask,
    /// Height and width of the image (within its padding).
    pub image: [i64; 2],
}

/// Targets `[n, side, side]` between 0 and 1.
pub(super) fn mask_targets(wanted: &[Wanted<'_>], side: usize) -> Tensor {
    from_fn(&[wanted.len() as i64, side as i64, side as i64], |out| {
        out.par_chunks_mut((side * side).max(1)).zip(wanted).for_each(|(out, w)| crop_and_resize(w, side, out));
    })
}

fn crop_and_resize(wanted: &Wanted<'_>, side: usize, out: &mut [f32]) {
    let sampling = Sampling { output: side, ratio: 0, aligned: false };
    let [x1, y1, x2, y2] = wanted.bbox;
    let ys = AxisTaps::new(sampling, y1, y2, 1.0, wanted.image[0].max(0) as usize);
    let xs = AxisTaps::new(sampling, x1, x2, 1.0, wanted.image[1].max(0) as usize);
    let CroppedMask { origin, size: [height, width], bits } = wanted.mask;
    let (mut row, mut reduced) = (vec![0.0f32; side], None);
    // Bins go down the image and share at most one or two pixel rows, so the last row is kept.
    for ph in 0..side {
        let (index, weight) = ys.bin(ph);
        for (y, wy) in index.iter().zip(weight) {
            let Some(y) = usize::try_from(i64::from(*y) - origin[1]).ok().filter(|y| y < height) else { continue };
            if reduced != Some(y) {
                reduced = Some(y);
                reduce(&bits[y * width..(y + 1) * width], origin[0], &xs, &mut row);
            }
            for (o, r) in out[ph * side..(ph + 1) * side].iter_mut().zip(&row) {
                *o += wy * r;
            }
        }
    }
}

/// One pixel row to its bins.
fn reduce(bits: &[u8], left: i64, xs: &AxisTaps, row: &mut [f32]) {
    for (pw, cell) in row.iter_mut().enumerate() {
        let (index, weight) = xs.bin(pw);
        let taps = index.iter().zip(weight);
        let bit = |x: u32| usize::try_from(i64::from(x) - left).ok().and_then(|x| bits.get(x)).copied().unwrap_or(0);
        *cell = taps.map(|(x, w)| w * f32::from(bit(*x))).sum();
    }
}

#[cfg(test)]
mod tests {
    use repghost_backbone::synthetic::uniform;

    use super::*;

    /// Against torchvision's roi_align on the full mask (`tools/fixtures/roi_align.py`).
    #[test]
    fn equals_pooling_the_full_mask() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/roi_align.safetensors");
        let fixture = Tensor::read_safetensors(path).unwrap();
        let want = &fixture.iter().find(|(name, _)| name == "mask_targets").unwrap().1;
        let bits = uniform("mask.bits", 31 * 46).iter().map(|u| u8::from(*u > -0.3)).collect();
        let mask = CroppedMask { origin: [20, 10], size: [31, 46], bits };
        let boxes = [
            [18.5, 8.25, 70.0, 44.0],
            [20.0, 10.0, 66.0, 41.0],
            [0.0, 0.0, 80.0, 60.0],
            [30.0, 30.0, 33.0, 31.0],
            [70.0, 50.0, 80.0, 60.0],
        ];
        let wanted: Vec<Wanted> = boxes.iter().map(|b| Wanted { bbox: *b, mask: &mask, image: [60, 80] }).collect();
        let got = mask_targets(&wanted, 28);
        let worst = (got - want).abs().max().double_value(&[]);
        assert!(worst < 1e-6, "off by {worst}");
    }
}
