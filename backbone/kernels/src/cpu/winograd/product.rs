//! The matrix products between the transforms, 36 (or 16) per convolution: three quarters of the time.
//!
//! Channels lie in panels of [`PANEL`]: `[panel][row][16]`. A panel is read as 16 scalars per row where its channels are summed over, and
//! as two vectors per row where they are outputs, so that one layout serves the forward, the input gradient and the weight gradient.

use crate::cpu::simd::{Simd, LANES};

/// Channels per panel.
pub(crate) const PANEL: usize = 16;

/// Rows of a block of results that is held in registers: 6 x 2 sums, two vectors of one factor and one of the other fill the sixteen registers
/// of AVX2.
pub(crate) const ROWS: usize = 6;

/// Sums of `ROWS` rows and one panel: `out[i][..16] = sum_c a[c / 16][i][c % 16] * b[c][..16]`, over `panels * 16` values of `c`; on top of what
/// `out` holds where `add`. Asks for the cache lines at `next` meanwhile, two per panel.
///
/// # Safety
/// `a` points to `panels` blocks of `ROWS x 16` floats, `a_panel` apart; `b` to `panels * 256` floats; `out` to `ROWS x 16`.
#[inline(always)]
pub(crate) unsafe fn over_channels<S: Simd>(
    a: *const f32,
    a_panel: usize,
    b: *const f32,
    panels: usize,
    out: *mut f32,
    add: bool,
    next: *const f32,
) {
    unsafe {
        let zero = S::splat(0.0);
        let mut sums = [[zero; 2]; ROWS];
        if add {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = [S::load(out.add(i * PANEL)), S::load(out.add(i * PANEL + LANES))];
            }
        }
        let (mut a, mut b, mut next) = (a, b, next);
        for _ in 0..panels {
            S::prefetch(next);
            S::prefetch(next.wrapping_add(PANEL));
            next = next.wrapping_add(2 * PANEL);
            for c in 0..PANEL {
                let (b0, b1) = (S::load(b), S::load(b.add(LANES)));
                for (i, sum) in sums.iter_mut().enumerate() {
                    let x = S::splat(*a.add(i * PANEL + c));
                    sum[0] = S::fma(x, b0, sum[0]);
                    sum[1] = S::fma(x, b1, sum[1]);
                }
                b = b.add(PANEL);
            }
            a = a.add(a_panel);
        }
        for (i, sum) in sums.iter().enumerate() {
            S::store(out.add(i * PANEL), sum[0]);
            S::store(out.add(i * PANEL + LANES), sum[1]);
        }
    }
}

/// `N` rows of a panel: `out[i][..16] = sum_t a[t][i] * b[t][..16]`, over `rows` values of `t`, on top of what `out` holds where `add`.
///
/// # Safety
/// `a` and `b` point to `rows` rows, [`PANEL`] floats apart; `out` to `N x 16`.
#[inline(always)]
pub(crate) unsafe fn over_tiles<S: Simd, const N: usize>(a: *const f32, b: *const f32, rows: usize, out: *mut f32, add: bool) {
    unsafe {
        let zero = S::splat(0.0);
        let mut sums = [[zero; 2]; N];
        let (mut a, mut b) = (a, b);
        for _ in 0..rows {
            let (b0, b1) = (S::load(b), S::load(b.add(LANES)));
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = S::splat(*a.add(i));
                sum[0] = S::fma(x, b0, sum[0]);
                sum[1] = S::fma(x, b1, sum[1]);
            }
            a = a.add(PANEL);
            b = b.add(PANEL);
        }
        for (i, sum) in sums.iter().enumerate() {
            for (half, sum) in sum.iter().enumerate() {
                let p = out.add(i * PANEL + half * LANES);
                S::store(p, if add { S::add(S::load(p), *sum) } else { *sum });
            }
        }
    }
}
