//! What the mask head should have drawn: an object's mask, cut out by a proposal's box and resized.
//!
//! torchvision runs RoIAlign over full-size masks in floating point. Here a mask is the crop that the loader made, bytes of zeros and
//! ones: pixels beyond it are zero, so only taps within it count, and only masks of sampled foreground are looked at.

use rayon::prelude::*;
use tch::Tensor;

use crate::box_coder::Corners;
use crate::roi_align::taps::{AxisTaps, Sampling};
use crate::types::CroppedMask;

/// A crop as plain data.
#[derive(Clone, Debug, Default)]
pub(super) struct Crop {
    /// Left and top pixel in the image.
    origin: [i64; 2],
    /// Height and width.
    size: [i64; 2],
    bits: Vec<u8>,
}

impl Crop {
    /// # Panics
    /// When the bits are not `u8 [h, w]`.
    pub fn new(mask: &CroppedMask) -> Self {
        let size = mask.bits.size2().expect("a mask has two dimensions");
        let bits = Vec::<u8>::try_from(mask.bits.to_device(tch::Device::Cpu).contiguous().view([-1])).expect("mask bits are u8");
        Self { origin: mask.origin, size: [size.0, size.1], bits }
    }
}

/// One target to make: a region, and the index of its mask.
pub(super) struct Wanted {
    pub bbox: Corners,
    pub mask: usize,
    /// Height and width of the image (within its padding).
    pub image: [i64; 2],
}

/// Targets `[n, side, side]` between 0 and 1.
pub(super) fn mask_targets(wanted: &[Wanted], crops: &[Crop], side: usize) -> Tensor {
    let mut out = vec![0.0f32; wanted.len() * side * side];
    out.par_chunks_mut(side * side).zip(wanted).for_each(|(out, w)| draw(&crops[w.mask], w, side, out));
    Tensor::from_slice(&out).view([wanted.len() as i64, side as i64, side as i64])
}

fn draw(crop: &Crop, wanted: &Wanted, side: usize, out: &mut [f32]) {
    let sampling = Sampling { output: side, ratio: 0, aligned: false };
    let [x1, y1, x2, y2] = wanted.bbox;
    let ys = AxisTaps::new(sampling, y1, y2, 1.0, wanted.image[0].max(0) as usize);
    let xs = AxisTaps::new(sampling, x1, x2, 1.0, wanted.image[1].max(0) as usize);
    let [height, width] = crop.size;
    let mut row = vec![0.0f32; side];
    let mut drawn = -1;
    // Bins go down the image and share at most one or two pixel rows, so the last row is worth keeping.
    for ph in 0..side {
        let (index, weight) = ys.bin(ph);
        for (y, wy) in index.iter().zip(weight) {
            let y = i64::from(*y) - crop.origin[1];
            if !(0..height).contains(&y) {
                continue;
            }
            if y != drawn {
                drawn = y;
                let bits = &crop.bits[(y * width) as usize..((y + 1) * width) as usize];
                reduce(bits, crop.origin[0], &xs, &mut row);
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
    use repghost_backbone::fill::uniform;

    use super::*;

    /// Against torchvision's roi_align on the full mask (`tools/fixtures/roi_align.py`).
    #[test]
    fn equals_pooling_the_full_mask() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/roi_align.safetensors");
        let fixture = Tensor::read_safetensors(path).unwrap();
        let want = &fixture.iter().find(|(name, _)| name == "mask_targets").unwrap().1;
        let bits = uniform("mask.bits", 31 * 46).iter().map(|u| u8::from(*u > -0.3)).collect();
        let crop = Crop { origin: [20, 10], size: [31, 46], bits };
        let boxes = [
            [18.5, 8.25, 70.0, 44.0],
            [20.0, 10.0, 66.0, 41.0],
            [0.0, 0.0, 80.0, 60.0],
            [30.0, 30.0, 33.0, 31.0],
            [70.0, 50.0, 80.0, 60.0],
        ];
        let wanted: Vec<Wanted> = boxes.iter().map(|b| Wanted { bbox: *b, mask: 0, image: [60, 80] }).collect();
        let got = mask_targets(&wanted, &[crop], 28);
        let worst = (got - want).abs().max().double_value(&[]);
        assert!(worst < 1e-6, "off by {worst}");
    }
}
