//! The point and neighbourhood operations of RandAugment and colour jitter, to Pillow's numbers (`ImageEnhance`, `ImageOps`).

use image::RgbImage;

/// Pillow's gray: Rec. 601 in 16-bit fixed point, rounded.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b) + 0x8000) >> 16) as u8
}

/// Pillow's `blend`: from `base` (factor 0) through `value` (factor 1) and beyond, cut off to a byte.
fn blend(base: u8, value: u8, factor: f32) -> u8 {
    let (base, value) = (f32::from(base), f32::from(value));
    (base + factor * (value - base)) as u8
}

/// Replaces every byte by table, a table a channel.
fn look_up(image: &mut RgbImage, tables: &[[u8; 256]; 3]) {
    for pixel in image.pixels_mut() {
        for (value, table) in pixel.0.iter_mut().zip(tables) {
            *value = table[usize::from(*value)];
        }
    }
}

/// One table for all channels.
fn point(image: &mut RgbImage, function: impl Fn(u8) -> u8) {
    let mut table = [0; 256];
    for (entry, value) in table.iter_mut().zip(0..=255) {
        *entry = function(value);
    }
    look_up(image, &[table; 3]);
}

fn histograms(image: &RgbImage) -> [[u32; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for pixel in image.pixels() {
        for (count, value) in counts.iter_mut().zip(pixel.0) {
            count[usize::from(value)] += 1;
        }
    }
    counts
}

/// Towards black (0), unchanged (1), brighter.
pub fn brightness(image: &mut RgbImage, factor: f32) {
    point(image, |v| blend(0, v, factor));
}

/// Towards the mean gray (0), unchanged (1), more contrast.
pub fn contrast(image: &mut RgbImage, factor: f32) {
    let sum: u64 = image.pixels().map(|p| u64::from(luma(p.0))).sum();
    let count = (u64::from(image.width()) * u64::from(image.height())).max(1);
    let mean = (sum as f64 / count as f64 + 0.5) as u8;
    point(image, |v| blend(mean, v, factor));
}

/// Towards gray (0), unchanged (1), more colour.
pub fn color(image: &mut RgbImage, factor: f32) {
    for pixel in image.pixels_mut() {
        let gray = luma(pixel.0);
        pixel.0 = pixel.0.map(|v| blend(gray, v, factor));
    }
}

/// Towards a 3x3 smoothing (0), unchanged (1), sharper. The border stays.
pub fn sharpness(image: &mut RgbImage, factor: f32) {
    const CENTRE: u32 = 5;
    const SUM: u32 = 13;
    let source = image.clone();
    let (width, height) = image.dimensions();
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let mut sums = source.get_pixel(x, y).0.map(|v| (CENTRE - 1) * u32::from(v));
            for (dy, dx) in (0..3).flat_map(|dy| (0..3).map(move |dx| (dy, dx))) {
                for (sum, value) in sums.iter_mut().zip(source.get_pixel(x + dx - 1, y + dy - 1).0) {
                    *sum += u32::from(value);
                }
            }
            let pixel = image.get_pixel_mut(x, y);
            let smooth = sums.map(|sum| ((2 * sum + SUM) / (2 * SUM)) as u8);
            pixel.0 = [0, 1, 2].map(|c| blend(smooth[c], pixel.0[c], factor));
        }
    }
}

/// Stretches each channel to 0 … 255.
pub fn auto_contrast(image: &mut RgbImage) {
    let tables = histograms(image).map(|counts| {
        let low = counts.iter().position(|&n| n > 0).unwrap_or(0);
        let high = counts.iter().rposition(|&n| n > 0).unwrap_or(0);
        let scale = 255.0 / high.saturating_sub(low).max(1) as f64;
        table(|v| if high <= low { v as u8 } else { (v as f64 * scale - low as f64 * scale) as u8 })
    });
    look_up(image, &tables);
}

/// Makes all values of each channel about equally frequent.
pub fn equalize(image: &mut RgbImage) {
    let tables = histograms(image).map(|counts| {
        let total: u32 = counts.iter().sum();
        let last = counts.iter().rev().find(|&&n| n > 0).copied().unwrap_or(0);
        let step = (total - last) / 255;
        if step == 0 {
            return table(|v| v as u8);
        }
        let mut below = step / 2;
        table(|v| {
            let level = (below / step).min(255) as u8;
            below += counts[v];
            level
        })
    });
    look_up(image, &tables);
}

fn table(mut entry: impl FnMut(usize) -> u8) -> [u8; 256] {
    let mut table = [0; 256];
    for (value, slot) in table.iter_mut().enumerate() {
        *slot = entry(value);
    }
    table
}

/// The negative.
pub fn invert(image: &mut RgbImage) {
    point(image, |v| 255 - v);
}

/// Keeps the highest bits of each value.
pub fn posterize(image: &mut RgbImage, bits: u32) {
    let mask = 255_u8.checked_shl(8_u32.saturating_sub(bits)).unwrap_or(0);
    point(image, |v| v & mask);
}

/// Inverts values from the threshold on.
pub fn solarize(image: &mut RgbImage, threshold: u32) {
    point(image, |v| if u32::from(v) < threshold { v } else { 255 - v });
}

/// Adds to values below 128.
pub fn solarize_add(image: &mut RgbImage, add: u8) {
    point(image, |v| if v < 128 { v.saturating_add(add) } else { v });
}
