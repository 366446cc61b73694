//! The convolution.

use super::rows::{self, Planes, PADDING};
use super::Geometry;
use crate::cpu::simd::{self, Kernel, Simd, LANES};
use crate::cpu::threads::for_each;
use crate::cpu::workspace::{with_mine, Address};

/// Eight planes of a convolution with a `K x K` filter at stride `T`.
struct Octet<const K: usize, const T: usize> {
    planes: Planes,
    weight: *const f32,
    bias: Option<*const f32>,
    channels: usize,
    /// Position of the first plane in the list of all.
    plane: usize,
    to: *mut f32,
    buffer: *mut f32,
    length: usize,
}

impl<const K: usize, const T: usize> Kernel for Octet<K, T> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { planes, weight, bias, channels, plane, to, buffer, length } = self;
        let (height, width) = ((planes.height - 1) / T + 1, (planes.width - 1) / T + 1);
        unsafe {
            std::ptr::write_bytes(buffer, 0, K * length);
            let w = rows::filters::<S>(weight, channels, plane, planes.lanes, K * K);
            let mut start = [0f32; LANES];
            if let Some(bias) = bias {
                for (lane, value) in start.iter_mut().enumerate().take(planes.lanes) {
                    *value = *bias.add((plane + lane) % channels);
                }
            }
            let start = S::load(start.as_ptr());
            let mut read = 0;
            for y in 0..height {
                // Rows stay in the buffer while filters reach them: row `i` counts from the padding above the map.
                while read < y * T + K {
                    rows::read::<S>(&planes, read as isize - (K / 2) as isize, buffer.add(read % K * length));
                    read += 1;
                }
                let from: [*const f32; K] =
                    std::array::from_fn(|r| buffer.add((y * T + r) % K * length + (PADDING - K / 2) * LANES).cast_const());
                let row = to.add(y * width);
                for x in (0..width).step_by(LANES) {
                    let mut sums = [start; LANES];
                    for (r, from) in from.iter().enumerate() {
                        let w: [S::V; K] = std::array::from_fn(|s| w[r * K + s]);
                        for (i, sum) in sums.iter_mut().enumerate() {
                            let p = from.add((x + i) * T * LANES);
                            for (s, w) in w.iter().enumerate() {
                                *sum = S::fma(*w, S::load(p.add(s * LANES)), *sum);
                            }
                        }
                    }
                    rows::write::<S>(sums, row, height * width, planes.lanes, x, width);
                }
            }
        }
    }
}

/// Writes the output, `[images, channels, height', width']`.
///
/// # Safety
/// `x`, `weight` (`[channels, 1, K, K]`), `bias` and `y` have the sizes of `g`.
pub(crate) unsafe fn forward(g: &Geometry, x: *const f32, weight: *const f32, bias: Option<*const f32>, y: *mut f32) {
    match (g.kernel, g.stride) {
        (3, 1) => unsafe { octets::<3, 1>(g, x, weight, bias, y) },
        (3, 2) => unsafe { octets::<3, 2>(g, x, weight, bias, y) },
        (5, 1) => unsafe { octets::<5, 1>(g, x, weight, bias, y) },
        (5, 2) => unsafe { octets::<5, 2>(g, x, weight, bias, y) },
        (k, t) => unreachable!("no kernel of size {k} and stride {t}"),
    }
}

unsafe fn octets<const K: usize, const T: usize>(
    g: &Geometry,
    x: *const f32,
    weight: *const f32,
    bias: Option<*const f32>,
    y: *mut f32,
) {
    let [height, width] = g.output();
    let work = g.work();
    let length = rows::length(g.width, width.next_multiple_of(LANES) * T + K);
    let (x, weight, bias, y) =
        (Address(x.cast_mut()), Address(weight.cast_mut()), bias.map(|b| Address(b.cast_mut())), Address(y));
    for_each(g.planes().div_ceil(LANES), work, |octet| {
        let plane = octet * LANES;
        with_mine(K * length, |buffer| unsafe {
            simd::run(Octet::<K, T> {
                planes: Planes {
                    first: x.get().add(plane * g.height * g.width),
                    lanes: LANES.min(g.planes() - plane),
                    height: g.height,
                    width: g.width,
                },
                weight: weight.get(),
                bias: bias.map(|b| b.get().cast_const()),
                channels: g.channels,
                plane,
                to: y.get().add(plane * height * width),
                buffer,
                length,
            });
        });
    });
}
