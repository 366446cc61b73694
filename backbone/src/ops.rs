//! The vocabulary that networks are written in.
//!
//! A network is described once, as a forward generic over [`Ops`] (the style that functional programmers call *tagless final*).
//! Each reader of that description is an implementation of the trait:
//!
//! | reader | `Value` | result |
//! |---|---|---|
//! | [`Eager`](crate::eager::Eager) | `tch::Tensor` | outputs, in training or in inference mode |
//! | [`Cost`](crate::cost::Cost) | a shape | parameters, multiply-adds and activation sizes, layer by layer |
//! | `OnnxWriter` (crate `repghost-export`) | a graph edge | nodes and initializers of an ONNX file |
//! | `TorchScriptWriter` (crate `repghost-export`) | a variable's name | lines of TorchScript |
//!
//! A new backbone needs no change in any reader. A method here takes the *layer* (weights and geometry), not loose tensors, so that
//! every reader finds what it needs: Eager the weights, Cost the kernel size, Onnx the initializers.

use crate::layers::{BatchNorm, Conv2d, ConvTranspose2d, GroupNorm, Linear};
use crate::tree::Named;

/// Point-wise non-linearities, by the definitions of PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * relu6(x + 3) / 6` (MobileNetV3).
    HardSwish,
    /// `relu6(x + 3) / 6`.
    HardSigmoid,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// The operations of a forward. Values are `[N, C, H, W]` unless a method states otherwise.
pub trait Ops {
    /// The inputs and outputs of layers.
    type Value;

    /// Another handle of the same value (tch's tensors are not `Clone`).
    fn share(x: &Self::Value) -> Self::Value;

    /// Starts the name scope `name` inside the present one. Scopes joined by dots equal the module path (`backbone.body.blocks.2.0`).
    /// A reader that needs no names does nothing.
    fn enter(&mut self, name: &str);

    /// Ends the innermost name scope.
    fn leave(&mut self);

    /// Runs `f` inside the name scope `name`.
    fn scope<R>(&mut self, name: &str, f: impl FnOnce(&mut Self) -> R) -> R {
        self.enter(name);
        let result = f(self);
        self.leave();
        result
    }

    /// Cross-correlation with zero padding.
    fn conv2d(&mut self, x: &Self::Value, layer: &Conv2d) -> Self::Value;
    /// The convolutions of pyramid levels that share a layer.
    fn conv2d_levels(&mut self, xs: &[Self::Value], layer: &Conv2d) -> Vec<Self::Value> {
        xs.iter().map(|x| self.conv2d(x, layer)).collect()
    }

    /// Runs `f`, which returns one result per level, on pyramid levels that share their layers: level by level, or on all of them at once
    /// in a reader that gains from it.
    fn levels<R>(&mut self, xs: &[Self::Value], mut f: impl FnMut(&mut Self, &[Self::Value]) -> Vec<R>) -> Vec<R> {
        xs.iter().flat_map(|x| f(self, std::slice::from_ref(x))).collect()
    }

    /// The same values in the order of elements in which dense convolutions run fastest; for the way into a stack of them.
    fn for_convolutions(&mut self, x: &Self::Value) -> Self::Value {
        Self::share(x)
    }

    /// Transposed convolution (the mask head's upsampling).
    fn conv_transpose2d(&mut self, x: &Self::Value, layer: &ConvTranspose2d) -> Self::Value;
    /// `x @ weight^T + bias` on `[N, in]`.
    fn linear(&mut self, x: &Self::Value, layer: &Linear) -> Self::Value;
    /// Batch normalisation.
    fn batch_norm(&mut self, x: &Self::Value, layer: &BatchNorm) -> Self::Value;
    /// The sum of normalised maps, each by its own batch norm, and an activation.
    fn batch_norm_sum(&mut self, parts: &[(&Self::Value, &Named<BatchNorm>)], activation: Activation) -> Self::Value
    where
        Self: Sized,
    {
        let mut sum: Option<Self::Value> = None;
        for (x, norm) in parts {
            let y = match norm.name.is_empty() {
                true => self.batch_norm(x, norm),
                false => self.scope(&norm.name, |ops| ops.batch_norm(x, norm)),
            };
            sum = Some(match sum {
                Some(sum) => self.add(&sum, &y),
                None => y,
            });
        }
        let sum = sum.expect("a sum has parts");
        self.activation(&sum, activation)
    }

    /// Group normalisation.
    fn group_norm(&mut self, x: &Self::Value, layer: &GroupNorm) -> Self::Value;
    /// A point-wise non-linearity.
    fn activation(&mut self, x: &Self::Value, activation: Activation) -> Self::Value;

    /// Element-wise sum of two values of one shape; `b` may be `[N, C, 1, 1]`.
    fn add(&mut self, a: &Self::Value, b: &Self::Value) -> Self::Value;
    /// Element-wise product; `b` may be `[N, C, 1, 1]`.
    fn mul(&mut self, a: &Self::Value, b: &Self::Value) -> Self::Value;
    /// Joins along `dim`.
    fn concat(&mut self, parts: &[Self::Value], dim: i64) -> Self::Value;
    /// Channels `start..start + len`.
    fn narrow_channels(&mut self, x: &Self::Value, start: i64, len: i64) -> Self::Value;

    /// Mean over height and width: `[N, C, 1, 1]`.
    fn mean_hw(&mut self, x: &Self::Value) -> Self::Value;
    /// Maximum over `k x k` windows, padded with minus infinity.
    fn max_pool2d(&mut self, x: &Self::Value, kernel: i64, stride: i64, padding: i64) -> Self::Value;
    /// Mean over `k x k` windows without padding (floor mode). A map smaller than the window is averaged whole along that side.
    fn avg_pool2d(&mut self, x: &Self::Value, kernel: i64, stride: i64) -> Self::Value;
    /// Nearest-neighbour resize of `x` to the height and width of `like` (PyTorch's `nearest`).
    fn upsample_nearest(&mut self, x: &Self::Value, like: &Self::Value) -> Self::Value;

    /// `[N, C, H, W]` to `[N, C * H * W]`.
    fn flatten(&mut self, x: &Self::Value) -> Self::Value;
    /// `[N, A * k, H, W]` to `[N, H * W * A, k]`: the order in which detection heads lay out `A`
    /// predictions of `k` numbers per position, position first.
    fn flatten_positions(&mut self, x: &Self::Value, k: i64) -> Self::Value;
    /// As [`Ops::flatten_positions`], for logits of objects: a reader that knows where the images of a padded batch end lowers those of
    /// positions beyond, so that nothing is found there.
    fn flatten_logits(&mut self, x: &Self::Value, k: i64) -> Self::Value {
        self.flatten_positions(x, k)
    }
    /// Zeroes elements with probability `p` while training; nothing in inference.
    fn dropout(&mut self, x: &Self::Value, p: f64) -> Self::Value;
}
