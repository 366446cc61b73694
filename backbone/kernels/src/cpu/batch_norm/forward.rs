//! Statistics of a channel, and the normalised sum.

use super::{Channel, Shape, SEGMENT};
use crate::cpu::simd::{Kernel, Simd, LANES};

/// Count, mean and summed squared distance to it.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn merge(&mut self, other: Moments) {
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        self.squares += other.squares + apart * apart * self.count * other.count / count;
        self.mean += apart * other.count / count;
        self.count = count;
    }
}

/// Mean and variance of one channel.
pub(super) struct Statistics<'a> {
    pub x: *const f32,
    pub shape: Shape,
    pub channel: usize,
    pub out: &'a mut Channel,
}

impl Kernel for Statistics<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut all = Moments::default();
        for image in 0..self.shape.images {
            let plane = unsafe { self.x.add(self.shape.plane(image, self.channel)) };
            for start in (0..self.shape.area).step_by(SEGMENT) {
                let count = SEGMENT.min(self.shape.area - start);
                all.merge(unsafe { segment::<S>(plane.add(start), count) });
            }
        }
        self.out.mean = all.mean;
        self.out.variance = all.squares / all.count;
    }
}

/// Four vectors of sums hide the latency of an addition.
#[inline(always)]
unsafe fn segment<S: Simd>(x: *const f32, count: usize) -> Moments {
    unsafe {
        let zero = S::splat(0.0);
        // Blocks of four vectors, up to three vectors, up to seven values.
        let (blocks, vectors) = (count / (4 * LANES), count / LANES % 4);
        let (after, rest) = (x.add(blocks * 4 * LANES), x.add(count - count % LANES));
        let mut sums = [zero; 4];
        for i in 0..blocks {
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum = S::add(*sum, S::load(x.add((4 * i + j) * LANES)));
            }
        }
        for i in 0..vectors {
            sums[0] = S::add(sums[0], S::load(after.add(i * LANES)));
        }
        let mut sum = total::<S>(sums);
        for i in 0..count % LANES {
            sum += f64::from(*rest.add(i));
        }
        let mean = sum / count as f64;
        let centre = S::splat(mean as f32);
        let mut sums = [zero; 4];
        for i in 0..blocks {
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum = add_square::<S>(x.add((4 * i + j) * LANES), centre, *sum);
            }
        }
        for i in 0..vectors {
            sums[0] = add_square::<S>(after.add(i * LANES), centre, sums[0]);
        }
        let mut squares = total::<S>(sums);
        for i in 0..count % LANES {
            squares += (f64::from(*rest.add(i)) - mean).powi(2);
        }
        Moments { count: count as f64, mean, squares }
    }
}

// A function, not a closure: one that is called from two places is not inlined, and would be compiled without vector instructions.
#[inline(always)]
unsafe fn add_square<S: Simd>(x: *const f32, centre: S::V, sum: S::V) -> S::V {
    unsafe {
        let d = S::sub(S::load(x), centre);
        S::fma(d, d, sum)
    }
}

/// The sum of all lanes.
#[inline(always)]
pub(super) unsafe fn total<S: Simd>(v: [S::V; 4]) -> f64 {
    let mut lanes = [0f32; 4 * LANES];
    for (i, v) in v.into_iter().enumerate() {
        unsafe { S::store(lanes.as_mut_ptr().add(i * LANES), v) };
    }
    lanes.iter().copied().map(f64::from).sum()
}

/// Writes one channel of the sum.
pub(super) struct Apply<'a, const K: usize> {
    pub xs: [*const f32; K],
    pub y: *mut f32,
    pub shape: Shape,
    pub channel: usize,
    pub by: [&'a Channel; K],
    pub relu: bool,
}

impl<const K: usize> Kernel for Apply<'_, K> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { xs, y, shape, channel, by, relu } = self;
        unsafe {
            let sum = Sum::<S, K>::new(by);
            for image in 0..shape.images {
                let at = shape.plane(image, channel);
                let (xs, y) = (xs.map(|x| x.add(at)), y.add(at));
                let whole = shape.area - shape.area % LANES;
                for i in (0..whole).step_by(LANES) {
                    let v = sum.at(xs.map(|x| S::load(x.add(i))));
                    S::store(y.add(i), if relu { S::relu(v) } else { v });
                }
                let left = shape.area - whole;
                if left > 0 {
                    let v = sum.at(xs.map(|x| S::load_part(x.add(whole), 0, left)));
                    S::store_part(y.add(whole), left, if relu { S::relu(v) } else { v });
                }
            }
        }
    }
}

/// `sum_k x_k * scale_k + shift`
pub(super) struct Sum<S: Simd, const K: usize> {
    pub scales: [S::V; K],
    shift: S::V,
}

impl<S: Simd, const K: usize> Sum<S, K> {
    #[inline(always)]
    pub unsafe fn new(by: [&Channel; K]) -> Self {
        unsafe { Self { scales: by.map(|c| S::splat(c.scale)), shift: S::splat(by.iter().map(|c| c.shift).sum()) } }
    }

    #[inline(always)]
    pub unsafe fn at(&self, xs: [S::V; K]) -> S::V {
        let mut v = self.shift;
        for (x, scale) in xs.into_iter().zip(self.scales) {
            v = unsafe { S::fma(x, scale, v) };
        }
        v
    }
}
