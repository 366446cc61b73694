//! Rows of eight planes as vectors: `row[x]` holds pixel `x` of eight planes.

use crate::cpu::simd::{Simd, LANES};

/// Eight planes, or fewer at the end of the list.
#[derive(Clone, Copy)]
pub(crate) struct Planes {
    /// The first plane's first value.
    pub first: *const f32,
    /// Planes that are there.
    pub lanes: usize,
    pub height: usize,
    pub width: usize,
}

/// Zeros on both sides of a row: enough for a 5x5 filter.
pub(crate) const PADDING: usize = 4;

/// Floats of a row of `width` pixels with its padding, where blocks of eight results may read up to `reach` pixels.
pub(crate) fn length(width: usize, reach: usize) -> usize {
    (width.next_multiple_of(LANES).max(reach) + 2 * PADDING) * LANES
}

/// Reads row `y` to `to + PADDING` pixels; a row outside the planes is zero.
///
/// # Safety
/// `to` has the [`length`] of the row, and its padding is zero.
#[inline(always)]
pub(crate) unsafe fn read<S: Simd>(planes: &Planes, y: isize, to: *mut f32) {
    unsafe {
        let to = to.add(PADDING * LANES);
        let zero = S::splat(0.0);
        if y < 0 || y >= planes.height as isize {
            for x in 0..planes.width {
                S::store(to.add(x * LANES), zero);
            }
            return;
        }
        let row = planes.first.add(y as usize * planes.width);
        let area = planes.height * planes.width;
        for x in (0..planes.width).step_by(LANES) {
            let mut v = [zero; LANES];
            let left = planes.width - x;
            for (lane, v) in v.iter_mut().enumerate().take(planes.lanes) {
                let p = row.add(lane * area + x);
                *v = if left >= LANES { S::load(p) } else { S::load_part(p, 0, left) };
            }
            for (i, v) in S::transpose(v).into_iter().enumerate() {
                S::store(to.add((x + i) * LANES), v);
            }
        }
    }
}

/// Writes eight pixels of eight planes, from pixel `x` of a row of `width` pixels on.
///
/// # Safety
/// `row` points to the row in the first of `lanes` planes of `area` values.
#[inline(always)]
pub(crate) unsafe fn write<S: Simd>(block: [S::V; LANES], row: *mut f32, area: usize, lanes: usize, x: usize, width: usize) {
    unsafe {
        let left = width - x;
        for (lane, v) in S::transpose(block).into_iter().enumerate().take(lanes) {
            let p = row.add(lane * area + x);
            if left >= LANES {
                S::store(p, v);
            } else {
                let mut values = [0f32; LANES];
                S::store(values.as_mut_ptr(), v);
                std::ptr::copy_nonoverlapping(values.as_ptr(), p, left);
            }
        }
    }
}

/// The filters of eight planes, tap by tap: `K * K` vectors.
///
/// # Safety
/// `weight` is `[channels, K, K]`.
#[inline(always)]
pub(crate) unsafe fn filters<S: Simd>(
    weight: *const f32,
    channels: usize,
    plane: usize,
    lanes: usize,
    taps: usize,
) -> [S::V; 25] {
    let mut out = [unsafe { S::splat(0.0) }; 25];
    for (tap, out) in out.iter_mut().enumerate().take(taps) {
        let mut values = [0f32; LANES];
        for (lane, value) in values.iter_mut().enumerate().take(lanes) {
            *value = unsafe { *weight.add((plane + lane) % channels * taps + tap) };
        }
        *out = unsafe { S::load(values.as_ptr()) };
    }
    out
}
