//! Every scheme on both vector units against plain sums in double precision.

use super::*;
use crate::cpu::simd;

/// Values in -1..1 that need no crate.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let step = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(step).collect()
}

/// Output, gradient of the input and gradient of the filter, by the definition.
struct Definition {
    y: Vec<f64>,
    dx: Vec<f64>,
    dw: Vec<f64>,
}

fn definition(x: &[f32], w: &[f32], grad: &[f32], [n, c, k, height, width]: [usize; 5]) -> Definition {
    let mut d = Definition { y: vec![0.0; grad.len()], dx: vec![0.0; x.len()], dw: vec![0.0; w.len()] };
    for (image, out, y, xx) in positions(n, k, height, width) {
        let at = ((image * k + out) * height + y) * width + xx;
        for input in 0..c {
            for tap in 0..9 {
                let (r, s) = (y + tap / 3, xx + tap % 3);
                if (1..=height).contains(&r) && (1..=width).contains(&s) {
                    let from = ((image * c + input) * height + r - 1) * width + s - 1;
                    let filter = (out * c + input) * 9 + tap;
                    d.y[at] += x[from] as f64 * w[filter] as f64;
                    d.dx[from] += grad[at] as f64 * w[filter] as f64;
                    d.dw[filter] += grad[at] as f64 * x[from] as f64;
                }
            }
        }
    }
    d
}

fn positions(n: usize, k: usize, h: usize, w: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..n * k * h * w).map(move |i| (i / (k * h * w), i / (h * w) % k, i / w % h, i % w))
}

/// Largest error over largest value.
fn error(found: &[f32], right: &[f64]) -> f64 {
    let largest = right.iter().fold(0f64, |m, v| m.max(v.abs()));
    let worst =
        found.iter().zip(right).fold(0f64, |m, (f, r)| if f.is_finite() { m.max((*f as f64 - r).abs()) } else { f64::INFINITY });
    worst / largest
}

fn check<F: Scheme>(scheme: F, size: [usize; 5]) {
    let [n, c, k, height, width] = size;
    let (x, w, grad) = (values(n * c * height * width, 1), values(k * c * 9, 2), values(n * k * height * width, 3));
    let right = definition(&x, &w, &grad, size);
    let maps = [Maps { images: n, height, width }];
    let layer = Convolution { maps: &maps, outputs: k, inputs: c, weight: w.as_ptr() };
    let (mut y, mut dx, mut dw) = (vec![f32::NAN; grad.len()], vec![f32::NAN; x.len()], vec![f32::NAN; w.len()]);
    // SAFETY: the sizes are those of the layer.
    unsafe {
        layer.convolve(scheme, Direction::Forward, &[x.as_ptr()], &[y.as_mut_ptr()], [c, k], None);
        layer.convolve(scheme, Direction::InputGradient, &[grad.as_ptr()], &[dx.as_mut_ptr()], [k, c], None);
        weight_grad::weight_gradient(scheme, &maps, &[x.as_ptr()], &[grad.as_ptr()], [k, c], dw.as_mut_ptr());
    }
    let errors = [error(&y, &right.y), error(&dx, &right.dx), error(&dw, &right.dw)];
    assert!(
        errors.iter().all(|e| *e < 3e-6),
        "tiles of {}, {size:?}: output, input and weight gradient are off by {errors:?}",
        F::M
    );
}

/// `[images, inputs, outputs, height, width]`: single pixels, single rows and columns, sides below a tile, ragged tiles, channels that fill no panel.
const SIZES: [[usize; 5]; 8] = [
    [1, 3, 5, 1, 1],
    [1, 17, 9, 1, 70],
    [2, 8, 16, 33, 1],
    [2, 33, 7, 6, 3],
    [1, 16, 16, 4, 4],
    [2, 48, 100, 21, 13],
    [1, 64, 64, 5, 5],
    [3, 5, 3, 9, 8],
];

#[test]
fn equals_the_definition() {
    for size in SIZES {
        check(F4, size);
        check(F2, size);
    }
}

#[test]
fn equals_the_definition_without_vector_instructions() {
    simd::only_portable(|| {
        for size in SIZES {
            check(F4, size);
            check(F2, size);
        }
    });
}
