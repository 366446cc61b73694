//! Eight floats at once. The kernels are written over the trait [`Simd`] and compiled once per instruction set; which one runs is
//! chosen at run time, so that one binary is fast everywhere.
//!
//! | implementation | where |
//! |---|---|
//! | [`Avx2`] | x86-64 with AVX2 and FMA (also on machines with AVX-512: the wider registers gain nothing that was measured) |
//! | [`Portable`] | everything else: arrays that the compiler turns into NEON or SSE code |

/// Floats per vector.
pub(crate) const LANES: usize = 8;

/// A vector unit.
///
/// # Safety
/// Every method may only be called where the instruction set is there, and with pointers to as many floats as it reads or writes.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Eight floats.
    type V: Copy;
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    /// Lanes `from..to` of the eight floats at `p`, zero elsewhere. Nothing is read outside those lanes, so `p` may point outside.
    unsafe fn load_part(p: *const f32, from: usize, to: usize) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Stores the first `count` lanes.
    unsafe fn store_part(p: *mut f32, count: usize, v: Self::V);
    /// `max(v, 0)`; not-a-number stays.
    unsafe fn relu(v: Self::V) -> Self::V;
    /// `v` where `test` is above zero, else zero.
    unsafe fn where_positive(test: Self::V, v: Self::V) -> Self::V;
    /// The lower and the upper four floats, to two places.
    unsafe fn store_halves(low: *mut f32, high: *mut f32, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a * b`
    unsafe fn fnma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    unsafe fn transpose(rows: [Self::V; LANES]) -> [Self::V; LANES];
    /// Asks for the cache line at `p`; any address is allowed.
    unsafe fn prefetch(p: *const f32);
}

/// Arrays, for the compiler to vectorise.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Without FMA instructions `mul_add` would be a call into libm.
#[inline(always)]
fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

type Array = [f32; LANES];

impl Simd for Portable {
    type V = Array;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Array {
        [x; LANES]
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Array {
        unsafe { p.cast::<Array>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_part(p: *const f32, from: usize, to: usize) -> Array {
        std::array::from_fn(|i| if (from..to).contains(&i) { unsafe { *p.wrapping_add(i) } } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Array) {
        unsafe { p.cast::<Array>().write_unaligned(v) }
    }

    #[inline(always)]
    unsafe fn store_part(p: *mut f32, count: usize, v: Array) {
        unsafe { std::ptr::copy_nonoverlapping(v.as_ptr(), p, count) }
    }

    #[inline(always)]
    unsafe fn relu(v: Array) -> Array {
        v.map(|x| if x < 0.0 { 0.0 } else { x })
    }

    #[inline(always)]
    unsafe fn where_positive(test: Array, v: Array) -> Array {
        std::array::from_fn(|i| if test[i] > 0.0 { v[i] } else { 0.0 })
    }

    #[inline(always)]
    unsafe fn store_halves(low: *mut f32, high: *mut f32, v: Array) {
        for i in 0..4 {
            unsafe {
                *low.add(i) = v[i];
                *high.add(i) = v[i + 4];
            }
        }
    }

    #[inline(always)]
    unsafe fn add(a: Array, b: Array) -> Array {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn sub(a: Array, b: Array) -> Array {
        std::array::from_fn(|i| a[i] - b[i])
    }

    #[inline(always)]
    unsafe fn mul(a: Array, b: Array) -> Array {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn fma(a: Array, b: Array, c: Array) -> Array {
        std::array::from_fn(|i| mul_add(a[i], b[i], c[i]))
    }

    #[inline(always)]
    unsafe fn fnma(a: Array, b: Array, c: Array) -> Array {
        std::array::from_fn(|i| mul_add(-a[i], b[i], c[i]))
    }

    #[inline(always)]
    unsafe fn transpose(rows: [Array; LANES]) -> [Array; LANES] {
        std::array::from_fn(|i| std::array::from_fn(|j| rows[j][i]))
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
}

/// AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{Avx2, Simd, LANES};

    /// Windows of eight lanes with `n` set bits are read out of this.
    static MASK: [i32; 24] = {
        let mut m = [0; 24];
        let mut i = 0;
        while i < 8 {
            m[8 + i] = -1;
            i += 1;
        }
        m
    };

    impl Simd for Avx2 {
        type V = __m256;

        #[inline(always)]
        unsafe fn splat(x: f32) -> __m256 {
            unsafe { _mm256_set1_ps(x) }
        }

        #[inline(always)]
        unsafe fn load(p: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(p) }
        }

        #[inline(always)]
        unsafe fn load_part(p: *const f32, from: usize, to: usize) -> __m256 {
            unsafe {
                // Lanes `from..` and lanes `..to`, both as windows of the table.
                let after = _mm256_loadu_si256(MASK.as_ptr().add(8 - from.min(8)).cast());
                let before = _mm256_loadu_si256(MASK.as_ptr().add(16 - to.min(8)).cast());
                _mm256_maskload_ps(p, _mm256_and_si256(after, before))
            }
        }

        #[inline(always)]
        unsafe fn store(p: *mut f32, v: __m256) {
            unsafe { _mm256_storeu_ps(p, v) }
        }

        #[inline(always)]
        unsafe fn store_part(p: *mut f32, count: usize, v: __m256) {
            let mut values = [0f32; LANES];
            unsafe {
                _mm256_storeu_ps(values.as_mut_ptr(), v);
                std::ptr::copy_nonoverlapping(values.as_ptr(), p, count);
            }
        }

        #[inline(always)]
        unsafe fn relu(v: __m256) -> __m256 {
            // Of a pair with not-a-number the instruction returns the second.
            unsafe { _mm256_max_ps(_mm256_setzero_ps(), v) }
        }

        #[inline(always)]
        unsafe fn where_positive(test: __m256, v: __m256) -> __m256 {
            unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(test, _mm256_setzero_ps()), v) }
        }

        #[inline(always)]
        unsafe fn store_halves(low: *mut f32, high: *mut f32, v: __m256) {
            unsafe {
                _mm_storeu_ps(low, _mm256_castps256_ps128(v));
                _mm_storeu_ps(high, _mm256_extractf128_ps::<1>(v));
            }
        }

        #[inline(always)]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_add_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn sub(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_sub_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn mul(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_mul_ps(a, b) }
        }

        #[inline(always)]
        unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn fnma(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fnmadd_ps(a, b, c) }
        }

        #[inline(always)]
        unsafe fn transpose(r: [__m256; LANES]) -> [__m256; LANES] {
            unsafe {
                let (a0, a1) = (_mm256_unpacklo_ps(r[0], r[1]), _mm256_unpackhi_ps(r[0], r[1]));
                let (a2, a3) = (_mm256_unpacklo_ps(r[2], r[3]), _mm256_unpackhi_ps(r[2], r[3]));
                let (a4, a5) = (_mm256_unpacklo_ps(r[4], r[5]), _mm256_unpackhi_ps(r[4], r[5]));
                let (a6, a7) = (_mm256_unpacklo_ps(r[6], r[7]), _mm256_unpackhi_ps(r[6], r[7]));
                let (b0, b1) = (_mm256_shuffle_ps::<0x44>(a0, a2), _mm256_shuffle_ps::<0xEE>(a0, a2));
                let (b2, b3) = (_mm256_shuffle_ps::<0x44>(a1, a3), _mm256_shuffle_ps::<0xEE>(a1, a3));
                let (b4, b5) = (_mm256_shuffle_ps::<0x44>(a4, a6), _mm256_shuffle_ps::<0xEE>(a4, a6));
                let (b6, b7) = (_mm256_shuffle_ps::<0x44>(a5, a7), _mm256_shuffle_ps::<0xEE>(a5, a7));
                [
                    _mm256_permute2f128_ps::<0x20>(b0, b4),
                    _mm256_permute2f128_ps::<0x20>(b1, b5),
                    _mm256_permute2f128_ps::<0x20>(b2, b6),
                    _mm256_permute2f128_ps::<0x20>(b3, b7),
                    _mm256_permute2f128_ps::<0x31>(b0, b4),
                    _mm256_permute2f128_ps::<0x31>(b1, b5),
                    _mm256_permute2f128_ps::<0x31>(b2, b6),
                    _mm256_permute2f128_ps::<0x31>(b3, b7),
                ]
            }
        }

        #[inline(always)]
        unsafe fn prefetch(p: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
        }
    }
}

/// Whether [`Avx2`] may be used on this machine.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

/// Whether the kernels were measured to be faster than libtorch's on this kind of machine.
pub(crate) fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return has_avx2();
    #[cfg(not(target_arch = "x86_64"))]
    return cfg!(target_arch = "aarch64");
}

#[cfg(test)]
static PORTABLE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Whether a test asks for [`Portable`].
#[cfg(target_arch = "x86_64")]
fn is_portable_forced() -> bool {
    #[cfg(test)]
    return PORTABLE.load(std::sync::atomic::Ordering::Relaxed) > 0;
    #[cfg(not(test))]
    false
}

/// Runs `f` with [`Portable`]. Other tests that run meanwhile get it as well, which changes nothing for them.
#[cfg(test)]
pub(crate) fn only_portable(f: impl FnOnce()) {
    PORTABLE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    f();
    PORTABLE.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
}

/// Work that is written once and compiled for each vector unit.
pub(crate) trait Kernel {
    /// Does the work; implementations are `#[inline(always)]`, so that they are compiled for the instruction set of `S`.
    ///
    /// # Safety
    /// As the type says.
    unsafe fn run<S: Simd>(self);
}

/// Runs a kernel on the vector unit of this machine.
///
/// # Safety
/// The kernel's.
pub(crate) unsafe fn run(kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn with_avx2(kernel: impl Kernel) {
            unsafe { kernel.run::<Avx2>() }
        }
        if has_avx2() && !is_portable_forced() {
            return unsafe { with_avx2(kernel) };
        }
    }
    unsafe { kernel.run::<Portable>() }
}
