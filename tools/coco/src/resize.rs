//! Antialiased resizing, and the last step from bytes to the batch buffer.
//!
//! Filters widen with the reduction, as in Pillow's `resize` and torchvision's `antialias=True`: a shrunk image is an average,
//! not a sample. The vector kernels are fast_image_resize's.

use std::cell::RefCell;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::buffers::black;

/// Mean of ImageNet's pixels, in [0, 1].
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's pixels, in [0, 1].
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Interpolation filters, both antialiased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Triangle filter: detection's default.
    #[default]
    Bilinear,
    /// Cubic with a = -0.5, Pillow's `BICUBIC`.
    Bicubic,
}

thread_local! {
    /// The resizer owns scratch buffers, so that each thread keeps one.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// The image at another size (each side at least 1 pixel); a copy where the size is the same.
pub fn resize(image: &RgbImage, width: usize, height: usize, filter: Filter) -> RgbImage {
    let (width, height) = (width.max(1) as u32, height.max(1) as u32);
    if (width, height) == image.dimensions() {
        return image.clone();
    }
    let alg = ResizeAlg::Convolution(match filter {
        Filter::Bilinear => FilterType::Bilinear,
        Filter::Bicubic => FilterType::CatmullRom,
    });
    let options = ResizeOptions::new().resize_alg(alg);
    let mut out = black(width, height);
    // Both buffers are exactly width x height x 3 bytes, so that no step of this can fail. (With pixel types that are chosen at run time, this
    // crate would hold the kernels of all of them: three minutes of compilation.)
    let source =
        TypedImageRef::<U8x3>::from_buffer(image.width(), image.height(), image.as_raw()).expect("an RgbImage's buffer fits");
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut out).expect("an RgbImage's buffer fits");
    RESIZER.with_borrow_mut(|r| r.resize_typed(&source, &mut target, &options)).expect("no crop");
    out
}

/// Per-channel `(byte / 255 - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Normalize {
    /// Mean of each channel, in [0, 1].
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    #[schemars(transform = repghost_config::items_above_zero)]
    pub std: [f32; 3],
}

impl Default for Normalize {
    fn default() -> Self {
        Self { mean: IMAGENET_MEAN, std: IMAGENET_STD }
    }
}

impl Normalize {
    /// Pixels in [0, 1], nothing subtracted.
    pub const UNIT: Self = Self { mean: [0.0; 3], std: [1.0; 3] };

    /// Factor and summand of each channel: `byte * factor + summand`.
    pub fn scale_and_offset(&self) -> ([f32; 3], [f32; 3]) {
        (self.std.map(|s| 1.0 / (255.0 * s)), [0, 1, 2].map(|c| -self.mean[c] / self.std[c]))
    }

    /// Writes an image into the top left of one `[3, plane_height, plane_width]` slot of a batch: conversion, normalisation and
    /// the turn from interleaved to planar in one pass. What lies outside of the image stays as it is (zero in a fresh batch).
    ///
    /// # Panics
    /// If the slot is smaller than its planes or a plane smaller than the image: a batch is sized by its largest image.
    pub fn write(&self, image: &RgbImage, slot: &mut [f32], plane_height: usize, plane_width: usize) {
        let (width, height) = (image.width() as usize, image.height() as usize);
        assert!(width <= plane_width && height <= plane_height && slot.len() == 3 * plane_height * plane_width);
        let (scale, offset) = self.scale_and_offset();
        let (red, rest) = slot.split_at_mut(plane_height * plane_width);
        let (green, blue) = rest.split_at_mut(plane_height * plane_width);
        for (y, row) in image.as_raw().chunks_exact(3 * width.max(1)).enumerate() {
            let span = y * plane_width..y * plane_width + width;
            split_row(row, [&mut red[span.clone()], &mut green[span.clone()], &mut blue[span]], scale, offset);
        }
    }
}

impl Normalize {
    /// [`Normalize::write`] with a resize to a width and height on the way, in floating point and without antialiasing: PyTorch's
    /// `interpolate(mode="bilinear", align_corners=False)` of the normalised image.
    ///
    /// # Panics
    /// If the slot is smaller than its planes or a plane smaller than the resized image.
    pub fn write_resized(&self, image: &RgbImage, to: [usize; 2], slot: &mut [f32], plane_height: usize, plane_width: usize) {
        let [width, height] = to;
        assert!(width <= plane_width && height <= plane_height && slot.len() == 3 * plane_height * plane_width);
        let values = [0, 1, 2].map(|c| {
            let mut table = [0.0_f32; 256];
            for (v, entry) in table.iter_mut().enumerate() {
                *entry = (v as f32 / 255.0 - self.mean[c]) / self.std[c];
            }
            table
        });
        let columns = between(image.width() as usize, width);
        let rows = between(image.height() as usize, height);
        let stride = 3 * image.width() as usize;
        let bytes = image.as_raw();
        for (c, (plane, values)) in slot.chunks_exact_mut(plane_height * plane_width).zip(&values).enumerate() {
            for (out, y) in plane.chunks_exact_mut(plane_width).zip(&rows) {
                let (upper, lower) = (&bytes[y.first * stride..][..stride], &bytes[y.second * stride..][..stride]);
                for (out, x) in out.iter_mut().zip(&columns) {
                    let at = |row: &[u8], pixel: usize| values[usize::from(row[3 * pixel + c])];
                    let row = |row: &[u8]| at(row, x.first) * x.weights[0] + at(row, x.second) * x.weights[1];
                    *out = row(upper) * y.weights[0] + row(lower) * y.weights[1];
                }
            }
        }
    }
}

/// Where an output pixel lies between two input pixels.
struct Between {
    first: usize,
    second: usize,
    weights: [f32; 2],
}

/// Positions of `to` output pixels among `from` input pixels, pixel centres on pixel centres.
fn between(from: usize, to: usize) -> Vec<Between> {
    let scale = from as f32 / to as f32;
    let position = |i: usize| {
        let x = (scale * (i as f32 + 0.5) - 0.5).max(0.0);
        let first = (x as usize).min(from - 1);
        let share = (x - first as f32).clamp(0.0, 1.0);
        Between { first, second: (first + 1).min(from - 1), weights: [1.0 - share, share] }
    };
    (0..to).map(position).collect()
}

/// One row of interleaved bytes to three rows of floats, by the widest instructions that this machine has.
fn split_row(row: &[u8], planes: [&mut [f32]; 3], scale: [f32; 3], offset: [f32; 3]) {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2, which is all that the function asks for.
        return unsafe { split_row_avx2(row, planes, scale, offset) };
    }
    split_row_portable(row, planes, scale, offset);
}

/// The portable loop, compiled for AVX2: over four times as fast, to the same bits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn split_row_avx2(row: &[u8], planes: [&mut [f32]; 3], scale: [f32; 3], offset: [f32; 3]) {
    split_row_portable(row, planes, scale, offset);
}

#[inline(always)]
fn split_row_portable(row: &[u8], [red, green, blue]: [&mut [f32]; 3], scale: [f32; 3], offset: [f32; 3]) {
    for (pixel, ((r, g), b)) in row.chunks_exact(3).zip(red.iter_mut().zip(green).zip(blue)) {
        *r = f32::from(pixel[0]) * scale[0] + offset[0];
        *g = f32::from(pixel[1]) * scale[1] + offset[1];
        *b = f32::from(pixel[2]) * scale[2] + offset[2];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalised_pixels_lie_in_planes_and_padding_stays_zero() {
        let image = RgbImage::from_raw(2, 1, vec![0, 255, 51, 255, 0, 102]).unwrap();
        let mut slot = vec![0.0; 3 * 2 * 4];
        let norm = Normalize { mean: [0.5, 0.0, 0.2], std: [0.5, 1.0, 0.1] };
        norm.write(&image, &mut slot, 2, 4);
        let plane = |c: usize| &slot[c * 8..c * 8 + 8];
        let near = |a: &[f32], b: [f32; 8]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-5);
        assert!(near(plane(0), [-1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        assert!(near(plane(1), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
        assert!(near(plane(2), [0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
    }

    /// `torch.nn.functional.interpolate(torch.tensor([[[[0., 51, 255], [102, 204, 153]]]]) / 255, (3, 4), mode="bilinear")`, and down to
    /// one pixel.
    #[test]
    fn resized_fractions_are_torchs() {
        let gray = |v: u8| [v; 3];
        let pixels: Vec<u8> = [0, 51, 255, 102, 204, 153].into_iter().flat_map(gray).collect();
        let image = RgbImage::from_raw(3, 2, pixels).unwrap();
        let mut slot = vec![9.0; 3 * 4 * 5];
        Normalize::UNIT.write_resized(&image, [4, 3], &mut slot, 4, 5);
        let expected = [0.0, 0.125, 0.5, 1.0, 0.2, 0.3875, 0.6125, 0.8, 0.4, 0.65, 0.725, 0.6];
        for (i, want) in expected.into_iter().enumerate() {
            let got = slot[20 + i / 4 * 5 + i % 4];
            assert!((got - want).abs() < 1e-6, "{i}: {got} {want}");
        }
        assert!(slot[4] == 9.0 && slot[15] == 9.0, "padding stays");
        let mut one = vec![0.0; 3];
        Normalize::UNIT.write_resized(&image, [1, 1], &mut one, 1, 1);
        assert!((one[0] - 0.5).abs() < 1e-6, "the mean of the two middle pixels: {}", one[0]);
    }

    #[test]
    fn rows_of_any_length_are_split_alike() {
        for width in [0, 1, 2, 7, 8, 31, 64, 333] {
            let row: Vec<u8> = (0..3 * width).map(|i| (i * 37 % 256) as u8).collect();
            let (scale, offset) = ([0.017, 0.0175, 0.0174], [-2.1, -2.03, -1.8]);
            type Split = fn(&[u8], [&mut [f32]; 3], [f32; 3], [f32; 3]);
            let run = |split: Split| {
                let mut planes = vec![vec![0.0; width]; 3];
                let [r, g, b] = planes.as_mut_slice() else { unreachable!() };
                split(&row, [r, g, b], scale, offset);
                planes
            };
            assert_eq!(run(split_row), run(split_row_portable));
        }
    }

    #[test]
    fn a_shrunk_image_is_an_average() {
        let stripes = RgbImage::from_fn(64, 64, |x, _| image::Rgb([if x % 2 == 0 { 0 } else { 255 }; 3]));
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            let small = resize(&stripes, 8, 8, filter);
            assert!(small.as_raw().iter().all(|&v| (118..=137).contains(&v)), "{:?}", small.as_raw());
        }
        assert_eq!(resize(&stripes, 64, 64, Filter::Bilinear), stripes);
        assert_eq!(resize(&stripes, 0, 5, Filter::Bilinear).dimensions(), (1, 5));
    }
}
