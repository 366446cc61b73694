//! The gradients of a depthwise convolution, both from one reading of the output's gradient.

use super::rows::{self, Planes, PADDING};
use super::Geometry;
use crate::cpu::simd::{self, Kernel, Simd, LANES};
use crate::cpu::threads::for_each;
use crate::cpu::workspace::{with_mine, with_shared, Address};

/// Eight planes of the backward of a `K x K` filter at stride `T`.
struct Octet<const K: usize, const T: usize> {
    x: Planes,
    grad: Planes,
    weight: *const f32,
    channels: usize,
    plane: usize,
    /// Gradient of the input; null where nobody needs it.
    grad_x: *mut f32,
    /// `[lanes][K * K]`
    grad_weight: *mut f32,
    buffer: *mut f32,
    x_length: usize,
    grad_length: usize,
}

impl<const K: usize, const T: usize> Kernel for Octet<K, T> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let rows = self.grad.height + 2 * PADDING;
        unsafe {
            // All rows of the gradient, zero rows above and below.
            std::ptr::write_bytes(self.buffer, 0, rows * self.grad_length + K * self.x_length);
            let grads = self.buffer.add(PADDING * self.grad_length);
            for y in 0..self.grad.height {
                rows::read::<S>(&self.grad, y as isize, grads.add(y * self.grad_length));
            }
            self.weights::<S>(grads, self.buffer.add(rows * self.grad_length));
            if !self.grad_x.is_null() {
                self.inputs::<S>(grads);
            }
        }
    }
}

impl<const K: usize, const T: usize> Octet<K, T> {
    /// `dw[r][s] = sum_yx g[y][x] * x[y * T + r][x * T + s]`
    #[inline(always)]
    unsafe fn weights<S: Simd>(&self, grads: *const f32, buffer: *mut f32) {
        unsafe {
            let mut sums = [[S::splat(0.0); K]; K];
            let mut read = 0;
            for y in 0..self.grad.height {
                while read < y * T + K {
                    rows::read::<S>(&self.x, read as isize - (K / 2) as isize, buffer.add(read % K * self.x_length));
                    read += 1;
                }
                let g = grads.add(y * self.grad_length + PADDING * LANES);
                let from: [*const f32; K] =
                    std::array::from_fn(|r| buffer.add((y * T + r) % K * self.x_length + (PADDING - K / 2) * LANES).cast_const());
                if K == 3 {
                    // Nine sums at once fill the pipeline.
                    let mut s9 = sums;
                    for x in 0..self.grad.width {
                        let v = S::load(g.add(x * LANES));
                        for (sums, from) in s9.iter_mut().zip(&from) {
                            for (s, sum) in sums.iter_mut().enumerate() {
                                *sum = S::fma(v, S::load(from.add((x * T + s) * LANES)), *sum);
                            }
                        }
                    }
                    sums = s9;
                } else {
                    for (pair, from) in sums.chunks_mut(2).zip(from.chunks(2)) {
                        let mut s10 = [[S::splat(0.0); K]; 2];
                        s10[..pair.len()].copy_from_slice(pair);
                        // The last row of an odd number is summed with itself, and that sum is dropped.
                        let rows = [from[0], from[from.len() - 1]];
                        for x in 0..self.grad.width {
                            let v = S::load(g.add(x * LANES));
                            for (sums, from) in s10.iter_mut().zip(&rows) {
                                for (s, sum) in sums.iter_mut().enumerate() {
                                    *sum = S::fma(v, S::load(from.add((x * T + s) * LANES)), *sum);
                                }
                            }
                        }
                        pair.copy_from_slice(&s10[..pair.len()]);
                    }
                }
            }
            for (tap, sum) in sums.as_flattened().iter().enumerate() {
                let mut values = [0f32; LANES];
                S::store(values.as_mut_ptr(), *sum);
                for (lane, value) in values.iter().enumerate().take(self.x.lanes) {
                    *self.grad_weight.add(lane * K * K + tap) = *value;
                }
            }
        }
    }

    /// `dx[y][x] = sum_rs w[r][s] * g[(y + K/2 - r) / T][(x + K/2 - s) / T]`, where those are whole numbers.
    #[inline(always)]
    unsafe fn inputs<S: Simd>(&self, grads: *const f32) {
        let half = (K / 2) as isize;
        let (height, width) = (self.x.height, self.x.width);
        unsafe {
            let w = rows::filters::<S>(self.weight, self.channels, self.plane, self.x.lanes, K * K);
            for y in 0..height {
                let row = self.grad_x.add(y * width);
                for x in (0..width).step_by(LANES) {
                    let mut sums = [S::splat(0.0); LANES];
                    for r in 0..K {
                        let up = y as isize + half - r as isize;
                        if up.rem_euclid(T as isize) != 0 {
                            continue;
                        }
                        let g =
                            grads.offset(up.div_euclid(T as isize) * self.grad_length as isize).add((PADDING + x / T) * LANES);
                        for s in 0..K {
                            let w = w[r * K + s];
                            // Results whose distance to this tap is a multiple of the stride.
                            let first = (s + T * K - K / 2) % T;
                            let shift = (first as isize + half - s as isize) / T as isize;
                            for i in 0..LANES / T {
                                let sum = &mut sums[first + i * T];
                                *sum = S::fma(w, S::load(g.offset((i as isize + shift) * LANES as isize)), *sum);
                            }
                        }
                    }
                    rows::write::<S>(sums, row, height * width, self.x.lanes, x, width);
                }
            }
        }
    }
}

/// Writes the gradient of the input (unless `grad_x` is null) and of the weight.
///
/// # Safety
/// All addresses have the sizes of `g`.
pub(crate) unsafe fn backward(
    g: &Geometry,
    x: *const f32,
    weight: *const f32,
    grad: *const f32,
    grad_x: *mut f32,
    grad_weight: *mut f32,
) {
    match (g.kernel, g.stride) {
        (3, 1) => unsafe { octets::<3, 1>(g, x, weight, grad, grad_x, grad_weight) },
        (3, 2) => unsafe { octets::<3, 2>(g, x, weight, grad, grad_x, grad_weight) },
        (5, 1) => unsafe { octets::<5, 1>(g, x, weight, grad, grad_x, grad_weight) },
        (5, 2) => unsafe { octets::<5, 2>(g, x, weight, grad, grad_x, grad_weight) },
        (k, t) => unreachable!("no kernel of size {k} and stride {t}"),
    }
}

unsafe fn octets<const K: usize, const T: usize>(
    g: &Geometry,
    x: *const f32,
    weight: *const f32,
    grad: *const f32,
    grad_x: *mut f32,
    grad_weight: *mut f32,
) {
    let [height, width] = g.output();
    let work = 2 * g.work();
    let x_length = rows::length(g.width, width * T + K);
    let grad_length = rows::length(width, g.width.next_multiple_of(LANES) / T + K);
    let size = (height + 2 * PADDING) * grad_length + K * x_length;
    let (x, grad, weight, grad_x) =
        (Address(x.cast_mut()), Address(grad.cast_mut()), Address(weight.cast_mut()), Address(grad_x));
    with_shared(g.planes() * K * K, |parts| {
        let parts = Address(parts);
        for_each(g.planes().div_ceil(LANES), work, |octet| {
            let plane = octet * LANES;
            let lanes = LANES.min(g.planes() - plane);
            with_mine(size, |buffer| unsafe {
                let to = grad_x.get();
                simd::run(Octet::<K, T> {
                    x: Planes { first: x.get().add(plane * g.height * g.width), lanes, height: g.height, width: g.width },
                    grad: Planes { first: grad.get().add(plane * height * width), lanes, height, width },
                    weight: weight.get(),
                    channels: g.channels,
                    plane,
                    grad_x: if to.is_null() { to } else { to.add(plane * g.height * g.width) },
                    grad_weight: parts.get().add(plane * K * K),
                    buffer,
                    x_length,
                    grad_length,
                });
            });
        });
        // Over images, in order: the sum does not depend on threads.
        let parts = unsafe { std::slice::from_raw_parts(parts.get(), g.planes() * K * K) };
        let sums = unsafe { std::slice::from_raw_parts_mut(grad_weight, g.channels * K * K) };
        sums.fill(0.0);
        for image in parts.chunks(sums.len()) {
            sums.iter_mut().zip(image).for_each(|(s, p)| *s += p);
        }
    });
}
