//! Filters into the transformed domain and their gradients back.

use super::product::PANEL;
use super::scheme::{Scheme, MAX_A};
use crate::cpu::simd::{self, Kernel, Simd, LANES};
use crate::cpu::threads::for_each;
use crate::cpu::workspace::Address;

/// Which channels of a filter `[outputs, inputs, 3, 3]` are summed over.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Direction {
    /// Inputs: the convolution itself.
    Forward,
    /// Outputs, with the filter turned by 180 degrees: the gradient of the convolution's input.
    InputGradient,
}

/// Transformed filters: `[frequency][panel of results][summed channel][16]`. Frequencies are `stride` floats apart, which is no multiple of
/// 4096 bytes: 36 streams that fall into one set of the cache would throw each other out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FilterLayout {
    /// Panels of summed channels.
    pub panels: usize,
    /// Panels of results.
    pub results: usize,
    pub stride: usize,
}

impl FilterLayout {
    pub fn new(summed: usize, results: usize) -> Self {
        let (panels, results) = (summed.div_ceil(PANEL), results.div_ceil(PANEL));
        Self { panels, results, stride: results * panels * PANEL * PANEL + 3 * PANEL }
    }

    pub fn len<F: Scheme>(&self) -> usize {
        self.stride * F::A * F::A
    }
}

/// Transforms the filters of one panel of results.
struct TransformPanel<F> {
    weight: *const f32,
    outputs: usize,
    inputs: usize,
    direction: Direction,
    panel: usize,
    to: *mut f32,
    layout: FilterLayout,
    _scheme: F,
}

impl<F: Scheme> Kernel for TransformPanel<F> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { weight, outputs, inputs, direction, panel, to, layout, .. } = self;
        let (summed, results) = match direction {
            Direction::Forward => (inputs, outputs),
            Direction::InputGradient => (outputs, inputs),
        };
        unsafe {
            for c in 0..layout.panels * PANEL {
                for half in 0..PANEL / LANES {
                    let first = panel * PANEL + half * LANES;
                    let mut taps = [[0f32; LANES]; 9];
                    if c < summed {
                        for lane in 0..LANES.min(results.saturating_sub(first)) {
                            let filter = match direction {
                                Direction::Forward => weight.add(((first + lane) * inputs + c) * 9),
                                Direction::InputGradient => weight.add((c * inputs + first + lane) * 9),
                            };
                            for (i, tap) in taps.iter_mut().enumerate() {
                                tap[lane] = *filter.add(if direction == Direction::Forward { i } else { 8 - i });
                            }
                        }
                    }
                    let taps: [S::V; 9] = std::array::from_fn(|i| S::load(taps[i].as_ptr()));
                    let mut rows = [[S::splat(0.0); 3]; MAX_A];
                    for s in 0..3 {
                        let u = F::filter::<S>([taps[s], taps[3 + s], taps[6 + s]]);
                        for r in 0..F::A {
                            rows[r][s] = u[r];
                        }
                    }
                    let to = to.add((panel * layout.panels * PANEL + c) * PANEL + half * LANES);
                    for (r, row) in rows.iter().enumerate().take(F::A) {
                        let u = F::filter::<S>(*row);
                        for (s, u) in u.iter().enumerate().take(F::A) {
                            S::store(to.add((r * F::A + s) * layout.stride), *u);
                        }
                    }
                }
            }
        }
    }
}

/// Transforms `weight`, `[outputs, inputs, 3, 3]`.
///
/// # Safety
/// `weight` has that size, and `to` the layout's.
pub(crate) unsafe fn transform<F: Scheme>(
    scheme: F,
    weight: *const f32,
    [outputs, inputs]: [usize; 2],
    direction: Direction,
    to: *mut f32,
    layout: FilterLayout,
) {
    let (weight, to) = (Address(weight.cast_mut()), Address(to));
    for_each(layout.results, layout.len::<F>(), |panel| {
        let (weight, to) = (weight.get(), to.get());
        unsafe { simd::run(TransformPanel { weight, outputs, inputs, direction, panel, to, layout, _scheme: scheme }) }
    });
}

/// Turns one panel of summed products back into gradients of filters.
struct GradPanel<F> {
    sums: *const f32,
    layout: FilterLayout,
    outputs: usize,
    inputs: usize,
    panel: usize,
    grad: *mut f32,
    _scheme: F,
}

#[expect(clippy::needless_range_loop, reason = "positions in rows and columns of a tile")]
impl<F: Scheme> Kernel for GradPanel<F> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { sums, layout, outputs, inputs, panel, grad, .. } = self;
        unsafe {
            for c in 0..inputs {
                for half in 0..PANEL / LANES {
                    let first = panel * PANEL + half * LANES;
                    let from = sums.add((panel * layout.panels * PANEL + c) * PANEL + half * LANES);
                    let mut columns = [[S::splat(0.0); MAX_A]; 3];
                    for r in 0..F::A {
                        let mut row = [S::splat(0.0); MAX_A];
                        for (s, v) in row.iter_mut().enumerate().take(F::A) {
                            *v = S::load(from.add((r * F::A + s) * layout.stride));
                        }
                        for (s, v) in F::grad_filter::<S>(row).into_iter().enumerate() {
                            columns[s][r] = v;
                        }
                    }
                    let mut taps = [[0f32; LANES]; 9];
                    for (s, column) in columns.iter().enumerate() {
                        for (r, v) in F::grad_filter::<S>(*column).into_iter().enumerate() {
                            S::store(taps[r * 3 + s].as_mut_ptr(), v);
                        }
                    }
                    for lane in 0..LANES.min(outputs.saturating_sub(first)) {
                        let filter = grad.add(((first + lane) * inputs + c) * 9);
                        for (i, tap) in taps.iter().enumerate() {
                            *filter.add(i) = tap[lane];
                        }
                    }
                }
            }
        }
    }
}

/// Gradients of filters, `[outputs, inputs, 3, 3]`, from sums in the transformed domain.
///
/// # Safety
/// `sums` has the layout's size, `grad` the filters'.
pub(crate) unsafe fn transform_back<F: Scheme>(
    scheme: F,
    sums: *const f32,
    layout: FilterLayout,
    [outputs, inputs]: [usize; 2],
    grad: *mut f32,
) {
    let (sums, grad) = (Address(sums.cast_mut()), Address(grad));
    for_each(layout.results, layout.len::<F>(), |panel| {
        let (sums, grad) = (sums.get(), grad.get());
        unsafe { simd::run(GradPanel { sums, layout, outputs, inputs, panel, grad, _scheme: scheme }) }
    });
}
