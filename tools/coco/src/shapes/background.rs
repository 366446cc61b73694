//! What is behind everything: gradients, clouds, stripes.

use super::paint::Canvas;
use super::random::Random;

/// Fractional bits of the interpolation.
const SHIFT: u32 = 12;

/// Paints every pixel: a lattice of colours, interpolated between its points; a coarse lattice is a gradient, a fine one clouds.
pub(super) fn paint(canvas: &mut Canvas, random: &mut Random, busy: bool) {
    let cells = if busy { 1 + random.below(8) as usize } else { 1 };
    let base = random.muted();
    let spread = 15 + random.below(50) as i32;
    let knots: Vec<[i32; 3]> = (0..(cells + 1) * (cells + 1))
        .map(|_| {
            let colour = random.colour();
            [0, 1, 2].map(|i: usize| (base[i] + (colour[i] - 128) * spread / 128).clamp(0, 255))
        })
        .collect();
    let stripes = busy && random.one_in(4);
    let [cos, sin] = random.direction().map(|v| (v * 64.0) as i32);
    let period = 6 + random.below(18) as i32;
    let depth = if stripes { 8 + random.below(20) as i32 } else { 0 };
    let (height, width) = (canvas.height, canvas.width);
    let mut line = vec![[0i32; 3]; cells + 1];
    for (y, row) in canvas.pixels.chunks_exact_mut(width).enumerate() {
        let (cell, weight) = place(y, height, cells);
        for (i, knot) in line.iter_mut().enumerate() {
            *knot = mix(knots[cell * (cells + 1) + i], knots[(cell + 1) * (cells + 1) + i], weight);
        }
        for (x, pixel) in row.iter_mut().enumerate() {
            let (cell, weight) = place(x, width, cells);
            let along = (x as i32 * cos + y as i32 * sin) >> 6;
            let wave = if along.div_euclid(period) & 1 == 0 { depth } else { -depth };
            *pixel = mix(line[cell], line[cell + 1], weight).map(|v| (v + wave).clamp(0, 255) as u8);
        }
    }
}

/// Lattice cell of a pixel and its fraction.
fn place(at: usize, length: usize, cells: usize) -> (usize, i32) {
    let scaled = ((at * cells) << SHIFT) / length.max(1);
    (scaled >> SHIFT, (scaled & ((1 << SHIFT) - 1)) as i32)
}

fn mix(a: [i32; 3], b: [i32; 3], weight: i32) -> [i32; 3] {
    [0, 1, 2].map(|i: usize| a[i] + (((b[i] - a[i]) * weight) >> SHIFT))
}
