//! Dense 3x3 convolutions with stride 1 and padding 1 by Winograd's algorithm: 2.25 multiplications per output and input channel instead
//! of 9 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308).
//!
//! | module | what is in it |
//! |---|---|
//! | `scheme` | the transforms, and why these interpolation points |
//! | `tiles` | the list of tiles of all maps |
//! | `product` | the products between the transforms |
//! | `filter` | filters there and their gradients back |
//! | `forward` | the convolution and the gradient of its input |
//! | `weight_grad` | the gradient of the filters |

mod filter;
mod forward;
mod product;
mod scheme;
mod tiles;
mod weight_grad;

use filter::{Direction, FilterLayout};
use scheme::{Scheme, F2, F4};
pub(crate) use tiles::Maps;

use super::workspace::with_shared;

/// Longest side up to which the small tiles are faster.
const SMALL_SIDE: usize = 5;

/// A convolution of some maps with one filter, `[outputs, inputs, 3, 3]`.
#[derive(Clone, Copy)]
pub(crate) struct Convolution<'a> {
    pub maps: &'a [Maps],
    pub outputs: usize,
    pub inputs: usize,
    pub weight: *const f32,
}

impl Convolution<'_> {
    fn is_small(&self) -> bool {
        self.maps.iter().all(|m| m.height.max(m.width) <= SMALL_SIDE)
    }

    /// Writes the outputs.
    ///
    /// # Safety
    /// `xs[i]` and `ys[i]` have the sizes of `maps[i]` with `inputs` and `outputs` channels; `bias` has `outputs` values.
    pub unsafe fn forward(&self, xs: &[*const f32], bias: Option<*const f32>, ys: &[*mut f32]) {
        let size = [self.inputs, self.outputs];
        unsafe {
            match self.is_small() {
                true => self.convolve(F2, Direction::Forward, xs, ys, size, bias),
                false => self.convolve(F4, Direction::Forward, xs, ys, size, bias),
            }
        }
    }

    /// Writes the gradients of the inputs.
    ///
    /// # Safety
    /// `grads[i]` and `xs[i]` have the sizes of `maps[i]` with `outputs` and `inputs` channels.
    pub unsafe fn input_gradient(&self, grads: &[*const f32], xs: &[*mut f32]) {
        let size = [self.outputs, self.inputs];
        unsafe {
            match self.is_small() {
                true => self.convolve(F2, Direction::InputGradient, grads, xs, size, None),
                false => self.convolve(F4, Direction::InputGradient, grads, xs, size, None),
            }
        }
    }

    /// Writes the gradient of the filter.
    ///
    /// # Safety
    /// `xs[i]` and `grads[i]` have the sizes of `maps[i]` with `inputs` and `outputs` channels; `grad` that of the filter.
    pub unsafe fn weight_gradient(&self, xs: &[*const f32], grads: &[*const f32], grad: *mut f32) {
        let size = [self.outputs, self.inputs];
        unsafe {
            match self.is_small() {
                true => weight_grad::weight_gradient(F2, self.maps, xs, grads, size, grad),
                false => weight_grad::weight_gradient(F4, self.maps, xs, grads, size, grad),
            }
        }
    }

    unsafe fn convolve<F: Scheme>(
        &self,
        scheme: F,
        direction: Direction,
        from: &[*const f32],
        to: &[*mut f32],
        [summed, results]: [usize; 2],
        bias: Option<*const f32>,
    ) {
        let layout = FilterLayout::new(summed, results);
        with_shared(layout.len::<F>(), |filter| unsafe {
            filter::transform(scheme, self.weight, [self.outputs, self.inputs], direction, filter, layout);
            forward::convolve(scheme, self.maps, from, to, [summed, results], (filter, layout), bias);
        });
    }
}

#[cfg(test)]
mod tests;
