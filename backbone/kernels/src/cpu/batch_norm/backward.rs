//! Gradients of a normalised sum: with `g` the gradient behind the ReLU's mask, `m` the values per channel and `d = x - mean`,
//!
//! ```text
//! dbias = sum g      dweight = inverse * sum g d
//! dx = scale * (g - dbias / m - d * inverse^2 * sum(g d) / m)
//! ```

use super::forward::{total, Sum};
use super::{Channel, Shape, SEGMENT};
use crate::cpu::simd::{Kernel, Simd, LANES};

/// Gradients of one channel: `sum g`, and of each map `sum g d`.
pub(super) struct Backward<'a, const K: usize> {
    pub xs: [*const f32; K],
    pub grad: *const f32,
    pub shape: Shape,
    pub channel: usize,
    pub by: [&'a Channel; K],
    pub relu: bool,
    /// Null where nobody needs it.
    pub dxs: [*mut f32; K],
    pub out: &'a mut [f64; 3],
}

impl<const K: usize> Kernel for Backward<'_, K> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        unsafe {
            let sum = Sum::<S, K>::new(self.by);
            let means = self.by.map(|c| S::splat(c.mean as f32));
            let mut sums = [0f64; 3];
            for image in 0..self.shape.images {
                let at = self.shape.plane(image, self.channel);
                for start in (0..self.shape.area).step_by(SEGMENT) {
                    let count = SEGMENT.min(self.shape.area - start);
                    self.segment::<S>(at + start, count, &sum, means, &mut sums);
                }
            }
            let m = self.shape.values() as f64;
            // scale * g + d * slope + offset
            let offsets = self.by.map(|c| S::splat((-f64::from(c.scale) * sums[0] / m) as f32));
            let slopes: [S::V; K] = std::array::from_fn(|k| {
                let c = self.by[k];
                S::splat((-f64::from(c.scale) * c.inverse * c.inverse * sums[1 + k] / m) as f32)
            });
            for image in 0..self.shape.images {
                let at = self.shape.plane(image, self.channel);
                for i in (0..self.shape.area).step_by(LANES) {
                    let left = LANES.min(self.shape.area - i);
                    let (xs, g) = self.values::<S>(at + i, left, &sum);
                    for k in 0..K {
                        if !self.dxs[k].is_null() {
                            let d = S::sub(xs[k], means[k]);
                            let dx = S::fma(sum.scales[k], g, S::fma(slopes[k], d, offsets[k]));
                            let to = self.dxs[k].add(at + i);
                            if left == LANES {
                                S::store(to, dx);
                            } else {
                                S::store_part(to, left, dx);
                            }
                        }
                    }
                }
            }
            *self.out = sums;
        }
    }
}

impl<const K: usize> Backward<'_, K> {
    /// Inputs, and the gradient behind the ReLU.
    #[inline(always)]
    unsafe fn values<S: Simd>(&self, at: usize, left: usize, sum: &Sum<S, K>) -> ([S::V; K], S::V) {
        unsafe {
            let load = |p: *const f32| if left == LANES { S::load(p.add(at)) } else { S::load_part(p.add(at), 0, left) };
            let xs = self.xs.map(load);
            let g = load(self.grad);
            (xs, if self.relu { S::where_positive(sum.at(xs), g) } else { g })
        }
    }

    /// Adds eight values to sums of `g` and of `g d`. Lanes that are not there have no gradient.
    #[inline(always)]
    unsafe fn add<S: Simd>(&self, at: usize, left: usize, sum: &Sum<S, K>, means: [S::V; K], sums: [S::V; 3]) -> [S::V; 3] {
        unsafe {
            let (xs, g) = self.values::<S>(at, left, sum);
            let mut sums = sums;
            sums[0] = S::add(sums[0], g);
            for k in 0..K {
                sums[1 + k] = S::fma(g, S::sub(xs[k], means[k]), sums[1 + k]);
            }
            sums
        }
    }

    #[inline(always)]
    unsafe fn segment<S: Simd>(&self, at: usize, count: usize, sum: &Sum<S, K>, means: [S::V; K], sums: &mut [f64; 3]) {
        unsafe {
            let zero = S::splat(0.0);
            // Two vectors per sum hide the latency of an addition.
            let (mut even, mut odd) = ([zero; 3], [zero; 3]);
            let pairs = count - count % (2 * LANES);
            for i in (0..pairs).step_by(2 * LANES) {
                even = self.add::<S>(at + i, LANES, sum, means, even);
                odd = self.add::<S>(at + i + LANES, LANES, sum, means, odd);
            }
            for i in (pairs..count).step_by(LANES) {
                even = self.add::<S>(at + i, LANES.min(count - i), sum, means, even);
            }
            for (i, sum) in sums.iter_mut().enumerate().take(1 + K) {
                *sum += total::<S>([even[i], odd[i], zero, zero]);
            }
        }
    }
}
