//! Batch norm in training (Ioffe and Szegedy, arXiv 1502.03167), of one map or as a sum over several, with the ReLU behind it, as one
//! operation:
//!
//! ```text
//! y = relu( sum_k (x_k - mean_k) / sqrt(var_k + eps) * weight_k + bias_k )
//! ```
//!
//! A RepGhost module is such a sum of two. Nothing between the inputs and `y` is written to memory or kept for the backward, which finds the
//! ReLU's mask by the same sums. Means and variances are taken over segments that fit the first cache and merged in double precision (Chan,
//! Golub and LeVeque 1979).

mod backward;
mod forward;
mod op;

pub use op::{batch_norm_sum, Normed};

/// Floats of a plane that are summed in single precision.
const SEGMENT: usize = 1024;

/// Most maps of a sum.
const MOST: usize = 2;

/// `[images, channels, area]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub images: usize,
    pub channels: usize,
    pub area: usize,
}

impl Shape {
    /// Values per channel.
    pub fn values(&self) -> usize {
        self.images * self.area
    }

    /// Offset of a plane.
    pub fn plane(&self, image: usize, channel: usize) -> usize {
        (image * self.channels + channel) * self.area
    }

    /// See [`for_each`](super::threads::for_each).
    pub fn work(&self) -> usize {
        4 * self.values() * self.channels
    }
}

/// What a channel's values are mapped by: `x * scale + shift`, and what the backward needs besides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Channel {
    pub mean: f64,
    /// Mean squared distance to the mean.
    pub variance: f64,
    /// `1 / sqrt(variance + eps)`
    pub inverse: f64,
    pub scale: f32,
    pub shift: f32,
}
