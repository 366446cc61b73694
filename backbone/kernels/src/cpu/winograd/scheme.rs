//! The transforms of Winograd's convolution (Lavin and Gray, arXiv 1509.09308; Cook and Toom before), in one dimension.
//!
//! An `M x M` tile of outputs of a 3x3 convolution comes from an `A x A` tile of inputs, `A = M + 2`:
//! `Y = At [(G g Gt) * (Bt d B)] A`, where `*` multiplies element by element. For interpolation points `p`:
//!
//! * row `j` of `Bt` holds the coefficients of `prod_{k != j} (x - p_k)`, and of the whole product for the point at infinity,
//! * row `j` of `G` is `(1, p_j, p_j^2) / prod_{k != j} (p_j - p_k)`, and `(0, 0, 1)`,
//! * column `j` of `At` is `(1, p_j, ..., p_j^(M-1))`, and `(0, ..., 0, 1)`.
//!
//! The points decide the rounding error. With 0, +-5/8, +-3/2 it is no larger than that of the direct sum in fp32; with the usual
//! 0, +-1, +-2 it would be three times as large.

use crate::cpu::simd::Simd;

/// Largest `A`.
pub(crate) const MAX_A: usize = 6;

/// Transforms of one tile size. All work in place of a slice's length: `input` and `grad_output` return `A` values, `output` `M`,
/// `filter` `A` of 3, `grad_filter` 3 of `A`.
pub(crate) trait Scheme: Copy + Send + Sync + 'static {
    /// Side of the transformed tile.
    const A: usize;
    /// Side of the output tile.
    const M: usize;
    /// `Bt d`
    unsafe fn input<S: Simd>(d: [S::V; MAX_A]) -> [S::V; MAX_A];
    /// `At m`
    unsafe fn output<S: Simd>(m: [S::V; MAX_A]) -> [S::V; 4];
    /// `A y`
    unsafe fn grad_output<S: Simd>(y: [S::V; 4]) -> [S::V; MAX_A];
    /// `G g`
    unsafe fn filter<S: Simd>(g: [S::V; 3]) -> [S::V; MAX_A];
    /// `Gt u`
    unsafe fn grad_filter<S: Simd>(u: [S::V; MAX_A]) -> [S::V; 3];
}

/// F(4x4, 3x3), points 0, +-5/8, +-3/2, infinity.
#[derive(Clone, Copy)]
pub(crate) struct F4;

const P: f32 = 5.0 / 8.0;
const Q: f32 = 3.0 / 2.0;
const PP: f32 = P * P;
const QQ: f32 = Q * Q;
/// `prod (p_j - p_k)` of the points 0, +-P, +-Q.
const N0: f32 = 1.0 / (PP * QQ);
const NP: f32 = 1.0 / (2.0 * PP * (PP - QQ));
const NQ: f32 = 1.0 / (2.0 * QQ * (QQ - PP));

impl Scheme for F4 {
    const A: usize = 6;
    const M: usize = 4;

    #[inline(always)]
    unsafe fn input<S: Simd>(d: [S::V; MAX_A]) -> [S::V; MAX_A] {
        unsafe {
            let (p, q, pp, qq) = (S::splat(P), S::splat(Q), S::splat(PP), S::splat(QQ));
            let (product, sum) = (S::splat(PP * QQ), S::splat(PP + QQ));
            let even_p = S::fnma(qq, d[2], d[4]);
            let odd_p = S::mul(p, S::fnma(qq, d[1], d[3]));
            let even_q = S::fnma(pp, d[2], d[4]);
            let odd_q = S::mul(q, S::fnma(pp, d[1], d[3]));
            [
                S::fma(product, d[0], S::fnma(sum, d[2], d[4])),
                S::add(even_p, odd_p),
                S::sub(even_p, odd_p),
                S::add(even_q, odd_q),
                S::sub(even_q, odd_q),
                S::fma(product, d[1], S::fnma(sum, d[3], d[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn output<S: Simd>(m: [S::V; MAX_A]) -> [S::V; 4] {
        unsafe {
            let (even_p, odd_p) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            let (even_q, odd_q) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
            [
                S::add(m[0], S::add(even_p, even_q)),
                S::fma(S::splat(P), odd_p, S::mul(S::splat(Q), odd_q)),
                S::fma(S::splat(PP), even_p, S::mul(S::splat(QQ), even_q)),
                S::fma(S::splat(PP * P), odd_p, S::fma(S::splat(QQ * Q), odd_q, m[5])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn grad_output<S: Simd>(y: [S::V; 4]) -> [S::V; MAX_A] {
        unsafe {
            let even_p = S::fma(S::splat(PP), y[2], y[0]);
            let odd_p = S::mul(S::splat(P), S::fma(S::splat(PP), y[3], y[1]));
            let even_q = S::fma(S::splat(QQ), y[2], y[0]);
            let odd_q = S::mul(S::splat(Q), S::fma(S::splat(QQ), y[3], y[1]));
            [y[0], S::add(even_p, odd_p), S::sub(even_p, odd_p), S::add(even_q, odd_q), S::sub(even_q, odd_q), y[3]]
        }
    }

    #[inline(always)]
    unsafe fn filter<S: Simd>(g: [S::V; 3]) -> [S::V; MAX_A] {
        unsafe {
            let even_p = S::mul(S::splat(NP), S::fma(S::splat(PP), g[2], g[0]));
            let odd_p = S::mul(S::splat(NP * P), g[1]);
            let even_q = S::mul(S::splat(NQ), S::fma(S::splat(QQ), g[2], g[0]));
            let odd_q = S::mul(S::splat(NQ * Q), g[1]);
            [
                S::mul(S::splat(N0), g[0]),
                S::add(even_p, odd_p),
                S::sub(even_p, odd_p),
                S::add(even_q, odd_q),
                S::sub(even_q, odd_q),
                g[2],
            ]
        }
    }

    #[inline(always)]
    unsafe fn grad_filter<S: Simd>(u: [S::V; MAX_A]) -> [S::V; 3] {
        unsafe {
            let (even_p, odd_p) = (S::mul(S::splat(NP), S::add(u[1], u[2])), S::sub(u[1], u[2]));
            let (even_q, odd_q) = (S::mul(S::splat(NQ), S::add(u[3], u[4])), S::sub(u[3], u[4]));
            [
                S::fma(S::splat(N0), u[0], S::add(even_p, even_q)),
                S::fma(S::splat(NP * P), odd_p, S::mul(S::splat(NQ * Q), odd_q)),
                S::fma(S::splat(PP), even_p, S::fma(S::splat(QQ), even_q, u[5])),
            ]
        }
    }
}

/// F(2x2, 3x3), points 0, +-1, infinity: less is wasted at the borders of maps of side 5 and below.
#[derive(Clone, Copy)]
pub(crate) struct F2;

impl Scheme for F2 {
    const A: usize = 4;
    const M: usize = 2;

    #[inline(always)]
    unsafe fn input<S: Simd>(d: [S::V; MAX_A]) -> [S::V; MAX_A] {
        unsafe {
            let zero = S::splat(0.0);
            [S::sub(d[2], d[0]), S::add(d[1], d[2]), S::sub(d[2], d[1]), S::sub(d[3], d[1]), zero, zero]
        }
    }

    #[inline(always)]
    unsafe fn output<S: Simd>(m: [S::V; MAX_A]) -> [S::V; 4] {
        unsafe {
            let zero = S::splat(0.0);
            [S::add(m[0], S::add(m[1], m[2])), S::add(S::sub(m[1], m[2]), m[3]), zero, zero]
        }
    }

    #[inline(always)]
    unsafe fn grad_output<S: Simd>(y: [S::V; 4]) -> [S::V; MAX_A] {
        unsafe {
            let zero = S::splat(0.0);
            [y[0], S::add(y[0], y[1]), S::sub(y[0], y[1]), y[1], zero, zero]
        }
    }

    #[inline(always)]
    unsafe fn filter<S: Simd>(g: [S::V; 3]) -> [S::V; MAX_A] {
        unsafe {
            let (zero, half) = (S::splat(0.0), S::splat(0.5));
            let (even, odd) = (S::mul(half, S::add(g[0], g[2])), S::mul(half, g[1]));
            [S::sub(zero, g[0]), S::add(even, odd), S::sub(even, odd), g[2], zero, zero]
        }
    }

    #[inline(always)]
    unsafe fn grad_filter<S: Simd>(u: [S::V; MAX_A]) -> [S::V; 3] {
        unsafe {
            let half = S::splat(0.5);
            let (even, odd) = (S::mul(half, S::add(u[1], u[2])), S::mul(half, S::sub(u[1], u[2])));
            [S::sub(even, u[0]), odd, S::add(even, u[3])]
        }
    }
}
