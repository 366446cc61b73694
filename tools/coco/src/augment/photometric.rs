//! Photometric distortion (Howard, "Some Improvements on Deep CNN Based Image Classification", 2013, as SSD uses it):
//! brightness, contrast (before or after the others), saturation, hue, channel order, each by chance.
//! Numbers are those of torchvision's `RandomPhotometricDistort` on bytes, rounding (towards zero) after every step included.

use image::RgbImage;
use rand::seq::SliceRandom;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Step;
use crate::sample::Sample;

/// Weights of red, green and blue in torchvision's gray.
const GRAY: [f32; 3] = [0.2989, 0.587, 0.114];

/// Brightness, contrast, saturation, hue and channel order; `{}` for torchvision's ranges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PhotometricConfig {
    /// Probability of each of the five changes.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub p: f64,
    /// Smallest and largest factor of brightness.
    #[schemars(inner(range(min = 0.0, max = 10.0)))]
    pub brightness: [f64; 2],
    /// Smallest and largest factor of contrast.
    #[schemars(inner(range(min = 0.0, max = 10.0)))]
    pub contrast: [f64; 2],
    /// Smallest and largest factor of saturation.
    #[schemars(inner(range(min = 0.0, max = 10.0)))]
    pub saturation: [f64; 2],
    /// Smallest and largest turn of the hue.
    #[schemars(inner(range(min = -0.5, max = 0.5)), extend("x-unit" = "turns"))]
    pub hue: [f64; 2],
    /// Whether channels may be exchanged.
    pub permute: bool,
}

impl Default for PhotometricConfig {
    fn default() -> Self {
        Self {
            p: 0.5,
            brightness: [0.875, 1.125],
            contrast: [0.5, 1.5],
            saturation: [0.5, 1.5],
            hue: [-0.05, 0.05],
            permute: true,
        }
    }
}

/// What was drawn for one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distortion {
    /// Factor of brightness.
    pub brightness: Option<f32>,
    /// Factor of contrast.
    pub contrast: Option<f32>,
    /// Whether contrast comes before saturation and hue.
    pub contrast_first: bool,
    /// Factor of saturation.
    pub saturation: Option<f32>,
    /// Turn of the hue.
    pub hue: Option<f32>,
    /// For each output channel the input channel.
    pub permutation: Option<[usize; 3]>,
}

impl Check for PhotometricConfig {
    fn rules(&self, at: &mut Checker) {
        at.ordered("brightness", self.brightness);
        at.ordered("contrast", self.contrast);
        at.ordered("saturation", self.saturation);
        at.ordered("hue", self.hue);
    }
}

impl Step for PhotometricConfig {
    fn apply(&self, sample: &mut Sample, rng: &mut ChaCha8Rng) {
        self.draw(rng).apply(&mut sample.image);
    }
}

impl PhotometricConfig {
    /// Draws what is to be done.
    pub fn draw(&self, rng: &mut impl Rng) -> Distortion {
        let mut factor = |[low, high]: [f64; 2]| {
            let wanted = rng.random::<f64>() < self.p;
            let value = low + rng.random::<f64>() * (high - low);
            wanted.then_some(value as f32)
        };
        let [brightness, contrast, saturation, hue] =
            [self.brightness, self.contrast, self.saturation, self.hue].map(&mut factor);
        let contrast_first = rng.random::<f64>() < 0.5;
        let mut permutation = [0, 1, 2];
        let permute = rng.random::<f64>() < self.p;
        permutation.shuffle(rng);
        let permutation = (permute && self.permute).then_some(permutation);
        Distortion { brightness, contrast, contrast_first, saturation, hue, permutation }
    }
}

impl Distortion {
    /// Changes an image.
    pub fn apply(&self, image: &mut RgbImage) {
        if let Some(factor) = self.brightness {
            look_up(image, |v| v * factor);
        }
        if let Some(factor) = self.contrast.filter(|_| self.contrast_first) {
            contrast(image, factor);
        }
        if let Some(factor) = self.saturation {
            saturation(image, factor);
        }
        if let Some(turn) = self.hue {
            image.pixels_mut().for_each(|p| p.0 = turn_hue(p.0, turn));
        }
        if let Some(factor) = self.contrast.filter(|_| !self.contrast_first) {
            contrast(image, factor);
        }
        if let Some(from) = self.permutation {
            image.pixels_mut().for_each(|p| p.0 = from.map(|c| p.0[c]));
        }
    }
}

/// Applies a function of one byte, by table.
fn look_up(image: &mut RgbImage, function: impl Fn(f32) -> f32) {
    let mut table = [0; 256];
    for (byte, entry) in (0_u8..=255).zip(&mut table) {
        *entry = function(f32::from(byte)) as u8; // `as` clamps and cuts off
    }
    image.iter_mut().for_each(|v| *v = table[usize::from(*v)]);
}

fn gray(pixel: [u8; 3]) -> f32 {
    let [r, g, b] = pixel.map(f32::from);
    (r * GRAY[0] + g * GRAY[1] + b * GRAY[2]).floor()
}

fn contrast(image: &mut RgbImage, factor: f32) {
    let sum: f64 = image.pixels().map(|p| f64::from(gray(p.0))).sum();
    let mean = (sum / f64::from(image.width() * image.height()).max(1.0)) as f32;
    look_up(image, |v| v * factor + mean * (1.0 - factor));
}

fn saturation(image: &mut RgbImage, factor: f32) {
    for pixel in image.pixels_mut() {
        let rest = gray(pixel.0) * (1.0 - factor);
        pixel.0 = pixel.0.map(|v| (f32::from(v) * factor + rest) as u8);
    }
}

/// Turns the hue of one pixel, through hue, saturation, value.
fn turn_hue(pixel: [u8; 3], turn: f32) -> [u8; 3] {
    let [r, g, b] = pixel.map(|v| f32::from(v) / 255.0);
    let (value, low) = (r.max(g).max(b), r.min(g).min(b));
    let spread = value - low;
    if spread == 0.0 {
        return pixel;
    }
    let saturation = spread / value;
    let [rc, gc, bc] = [r, g, b].map(|v| (value - v) / spread);
    let sextant = if value == r {
        bc - gc
    } else if value == g {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    let hue = ((sextant / 6.0 + 1.0) % 1.0 + turn).rem_euclid(1.0) * 6.0;
    let index = hue.floor();
    let part = hue - index;
    let q = ((1.0 - saturation * part) * value).clamp(0.0, 1.0);
    let t = ((1.0 - saturation * (1.0 - part)) * value).clamp(0.0, 1.0);
    let p = ((1.0 - saturation) * value).clamp(0.0, 1.0);
    let turned = match index as i32 % 6 {
        0 => [value, t, p],
        1 => [q, value, p],
        2 => [p, value, t],
        3 => [p, q, value],
        4 => [t, p, value],
        _ => [value, p, q],
    };
    // torchvision's conversion of floats to bytes: 0.999 above the next byte is still this byte.
    turned.map(|v| (v * 255.999) as u8)
}
