//! Long-range attention of GhostNetV2 (Tang et al., 2022, "DFC attention"): a row and a column filter at half resolution.
//!
//! ```text
//! gate = sigmoid(BN(dw5x1(BN(dw1x5(BN(conv1x1(avg_pool2(x))))))))      upsampled to the size of the gated map
//! ```
//!
//! (The pool works on maps of one pixel too, as the last ones of a 32-pixel image are; timm's refuses them.)
//!
//! A filter along rows followed by one along columns gives every position a cross-shaped field of view with ten weights per channel.

use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn};
use crate::module::{Collector, FuseLevel, Module, Tree};
use crate::ops::{Activation, Ops};

const POOL: i64 = 2;
const LENGTH: i64 = 5;

/// The gate; `short_conv` in published state dicts.
#[derive(Debug)]
pub struct AxialGate {
    convs: [ConvBn; 3],
}

impl AxialGate {
    /// A gate for maps of `outputs` channels, computed from `inputs` channels.
    pub fn new(inputs: i64, outputs: i64, norm: BatchNormConfig) -> Self {
        let linear = |names, conv| ConvBn::new(names, conv, norm, Activation::Identity);
        let row = Conv2dConfig { kernel: [1, LENGTH], padding: [0, LENGTH / 2], groups: outputs, ..Default::default() };
        let column = Conv2dConfig { kernel: [LENGTH, 1], padding: [LENGTH / 2, 0], groups: outputs, ..Default::default() };
        Self {
            convs: [
                linear(["0", "1"], Conv2d::new(inputs, outputs, Conv2dConfig::default())),
                linear(["2", "3"], Conv2d::new(outputs, outputs, row)),
                linear(["4", "5"], Conv2d::new(outputs, outputs, column)),
            ],
        }
    }

    /// `y` times the gate computed from `x`.
    pub fn apply<O: Ops>(&self, ops: &mut O, x: &O::Value, y: &O::Value) -> O::Value {
        let g = ops.avg_pool2d(x, POOL, POOL);
        let g = self.convs.forward(ops, &g);
        let g = ops.activation(&g, Activation::Sigmoid);
        let g = ops.upsample_nearest(&g, y);
        ops.mul(y, &g)
    }
}

impl Tree for AxialGate {
    fn visit(&self, v: &mut Collector) {
        self.convs.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.convs.fuse(level);
    }
}
