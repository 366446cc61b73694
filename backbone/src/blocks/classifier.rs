//! Blocks that learn nothing, and the parts of a classifier tail.

use crate::layers::Conv2d;
use crate::module::{Collector, Module, Tree};
use crate::ops::{Activation, Ops};

/// Mean over height and width.
#[derive(Debug)]
pub struct GlobalPool;

impl Tree for GlobalPool {
    fn visit(&self, _: &mut Collector) {}
}

impl Module for GlobalPool {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        ops.mean_hw(x)
    }
}

/// Maximum over `kernel x kernel` windows (ResNet's stem).
#[derive(Debug)]
pub struct MaxPool {
    /// Side of the window.
    pub kernel: i64,
    /// Step of the window.
    pub stride: i64,
    /// Border, filled with minus infinity.
    pub padding: i64,
}

impl Tree for MaxPool {
    fn visit(&self, _: &mut Collector) {}
}

impl Module for MaxPool {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        ops.max_pool2d(x, self.kernel, self.stride, self.padding)
    }
}

/// A non-linearity on its own.
#[derive(Debug)]
pub struct Act(pub Activation);

impl Tree for Act {
    fn visit(&self, _: &mut Collector) {}
}

impl Module for Act {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        ops.activation(x, self.0)
    }
}

/// `[N, C, H, W]` to `[N, C * H * W]`.
#[derive(Debug)]
pub struct Flatten;

impl Tree for Flatten {
    fn visit(&self, _: &mut Collector) {}
}

impl Module for Flatten {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        ops.flatten(x)
    }
}

/// Dropout with a fixed probability.
#[derive(Debug)]
pub struct Dropout(pub f64);

impl Tree for Dropout {
    fn visit(&self, _: &mut Collector) {}
}

impl Module for Dropout {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        ops.dropout(x, self.0)
    }
}

/// The 1x1 convolution with bias on pooled features (`conv_head` of the Ghost and MobileNetV3 families).
#[derive(Debug)]
pub struct HeadConv {
    /// The convolution.
    pub conv: Conv2d,
    /// What follows.
    pub activation: Activation,
}

impl Tree for HeadConv {
    fn visit(&self, v: &mut Collector) {
        self.conv.visit(v);
    }
}

impl Module for HeadConv {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let y = ops.conv2d(x, &self.conv);
        ops.activation(&y, self.activation)
    }
}
