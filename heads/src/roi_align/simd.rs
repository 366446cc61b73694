//! The inner loops of [`kernel`](super::kernel), compiled for the instruction sets at hand.
//!
//! The loops are plain Rust over arrays of [`LANES`] floats, which the compiler turns into vector code. Each is compiled three
//! times (AVX-512, AVX2, baseline) and chosen at run time, so that one binary runs anywhere and fast.

use super::taps::RoiTaps;

/// Channels that are handled together: one AVX-512 register, two of AVX2, four of SSE or NEON.
pub(crate) const LANES: usize = 16;

/// A value of each channel of a slab.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Vector([f32; LANES]);

impl Default for Vector {
    fn default() -> Self {
        Self([0.0; LANES])
    }
}

impl Vector {
    /// `self += weight * other`.
    #[inline(always)]
    fn add_scaled<const FMA: bool>(&mut self, weight: f32, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            // Without the instruction, mul_add would be a call into libm.
            *a = if FMA { b.mul_add(weight, *a) } else { *a + weight * b };
        }
    }
}

/// `[channels][area]` to `[area][LANES]`; missing channels are zero.
pub(crate) fn interleave(planes: &[f32], area: usize) -> Vec<Vector> {
    let mut out = vec![Vector::default(); area];
    interleave_into(planes, &mut out);
    out
}

/// [`interleave`] into a buffer, whose length is the area.
pub(crate) fn interleave_into(planes: &[f32], out: &mut [Vector]) {
    let area = out.len();
    // Blocks of pixels keep the lines that are written in the cache while all channels pass.
    for (block, out) in out.chunks_mut(LANES).enumerate() {
        for (lane, plane) in planes.chunks_exact(area).enumerate() {
            let plane = &plane[block * LANES..block * LANES + out.len()];
            for (v, x) in out.iter_mut().zip(plane) {
                v.0[lane] = *x;
            }
        }
    }
}

/// `[area][LANES]` to `[channels][area]`, as many channels as `planes` has room for.
pub(crate) fn deinterleave(values: &[Vector], planes: &mut [f32]) {
    let area = values.len();
    for (block, values) in values.chunks(LANES).enumerate() {
        for (lane, plane) in planes.chunks_exact_mut(area).enumerate() {
            let plane = &mut plane[block * LANES..block * LANES + values.len()];
            for (x, v) in plane.iter_mut().zip(values) {
                *x = v.0[lane];
            }
        }
    }
}

#[inline(always)]
fn pool_loop<const FMA: bool>(plane: &[Vector], width: usize, taps: &RoiTaps, row: &mut [Vector], acc: &mut [Vector]) {
    let bins = row.len();
    acc.fill(Vector::default());
    let mut current = u32::MAX;
    for &(y, ph, weight) in &taps.rows {
        if y != current {
            current = y;
            let line = &plane[y as usize * width..(y as usize + 1) * width];
            for (pw, cell) in row.iter_mut().enumerate() {
                let (index, weights) = taps.x.bin(pw);
                let mut sum = Vector::default();
                for (x, w) in index.iter().zip(weights) {
                    sum.add_scaled::<FMA>(*w, &line[*x as usize]);
                }
                *cell = sum;
            }
        }
        let target = &mut acc[ph as usize * bins..(ph as usize + 1) * bins];
        for (a, r) in target.iter_mut().zip(&*row) {
            a.add_scaled::<FMA>(weight, r);
        }
    }
}

#[inline(always)]
fn scatter_loop<const FMA: bool>(grad: &[Vector], width: usize, taps: &RoiTaps, row: &mut [Vector], plane: &mut [Vector]) {
    let bins = row.len();
    for same_row in taps.rows.chunk_by(|a, b| a.0 == b.0) {
        row.fill(Vector::default());
        for &(_, ph, weight) in same_row {
            let source = &grad[ph as usize * bins..(ph as usize + 1) * bins];
            for (r, g) in row.iter_mut().zip(source) {
                r.add_scaled::<FMA>(weight, g);
            }
        }
        let y = same_row[0].0 as usize;
        let line = &mut plane[y * width..(y + 1) * width];
        for (pw, r) in row.iter().enumerate() {
            let (index, weights) = taps.x.bin(pw);
            for (x, w) in index.iter().zip(weights) {
                line[*x as usize].add_scaled::<FMA>(*w, r);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;

    #[target_feature(enable = "avx512f,avx2,fma")]
    pub fn pool_512(plane: &[Vector], width: usize, taps: &RoiTaps, row: &mut [Vector], acc: &mut [Vector]) {
        pool_loop::<true>(plane, width, taps, row, acc)
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn pool_256(plane: &[Vector], width: usize, taps: &RoiTaps, row: &mut [Vector], acc: &mut [Vector]) {
        pool_loop::<true>(plane, width, taps, row, acc)
    }

    #[target_feature(enable = "avx512f,avx2,fma")]
    pub fn scatter_512(grad: &[Vector], width: usize, taps: &RoiTaps, row: &mut [Vector], plane: &mut [Vector]) {
        scatter_loop::<true>(grad, width, taps, row, plane)
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn scatter_256(grad: &[Vector], width: usize, taps: &RoiTaps, row: &mut [Vector], plane: &mut [Vector]) {
        scatter_loop::<true>(grad, width, taps, row, plane)
    }
}

/// One region: `acc[ph * bins + pw] = sum_y Ay[ph, y] * (sum_x Ax[pw, x] * plane[y, x])`. `row` is scratch for one row's bins.
pub(crate) fn pool(plane: &[Vector], width: usize, taps: &RoiTaps, row: &mut [Vector], acc: &mut [Vector]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("fma") {
        // SAFETY: the instructions were found to be there.
        if is_x86_feature_detected!("avx512f") {
            return unsafe { x86::pool_512(plane, width, taps, row, acc) };
        }
        if is_x86_feature_detected!("avx2") {
            return unsafe { x86::pool_256(plane, width, taps, row, acc) };
        }
    }
    pool_loop::<false>(plane, width, taps, row, acc)
}

/// The adjoint of [`pool`]: adds to `plane`.
pub(crate) fn scatter(grad: &[Vector], width: usize, taps: &RoiTaps, row: &mut [Vector], plane: &mut [Vector]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("fma") {
        // SAFETY: the instructions were found to be there.
        if is_x86_feature_detected!("avx512f") {
            return unsafe { x86::scatter_512(grad, width, taps, row, plane) };
        }
        if is_x86_feature_detected!("avx2") {
            return unsafe { x86::scatter_256(grad, width, taps, row, plane) };
        }
    }
    scatter_loop::<false>(grad, width, taps, row, plane)
}
