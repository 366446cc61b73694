//! The bottleneck of GhostNet (Han et al., 2020) and RepGhostNet (Chen et al., 2022, figure 4).
//!
//! ```text
//! ghost1 (ReLU) → [depthwise k x k, stride 2, BN] → [squeeze-excite] → ghost2 (linear) → + shortcut
//! ```
//!
//! GhostNetV2 (Tang et al., 2022) multiplies ghost1's output by an [`AxialGate`] of ghost1's input. GhostNetV3 (Liu et al., 2024) does
//! too, and has parallel branches in its convolutions ([`BranchedGhost`]).
//!
//! The kernel `k` is used only by the stride-2 convolution and by the projection shortcut. Nothing follows the sum.

use super::branched_ghost::depthwise_branches;
use super::{AxialGate, BranchSum, BranchedGhost, GhostModule, GhostModuleConfig, Reuse, SqueezeExcite};
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn};
use crate::module::{Collector, FuseLevel, Module, Named, Tree};
use crate::ops::{Activation, Ops};

/// Settings of a [`GhostBottleneck`].
#[derive(Clone, Debug)]
pub struct GhostBottleneckConfig {
    /// Input channels.
    pub inputs: i64,
    /// Channels between the two ghost modules.
    pub middle: i64,
    /// Output channels.
    pub outputs: i64,
    /// Kernel of the stride-2 convolution and of the projection shortcut.
    pub kernel: i64,
    /// 1 or 2.
    pub stride: i64,
    /// Width of the squeeze-excite bottleneck, where there is one.
    pub squeeze: Option<i64>,
    /// How the ghost modules reuse features; `None` for the branched modules of GhostNetV3.
    pub reuse: Option<Reuse>,
    /// Whether ghost1 is gated by axial attention (GhostNetV2).
    pub gate: bool,
    /// Whether identity shortcuts are kept (projection shortcuts always are).
    pub shortcut: bool,
    /// Constants of all batch norms.
    pub norm: BatchNormConfig,
}

/// Single convolutions, or sums of branches in training.
#[derive(Debug)]
enum Ghost {
    Single(GhostModule),
    Branched(BranchedGhost),
}

/// The stride-2 depthwise convolution.
#[derive(Debug)]
enum Downsample {
    Single(ConvBn),
    Branched(BranchSum),
}

#[derive(Debug)]
enum Shortcut {
    None,
    Identity,
    Projection(Box<[ConvBn; 2]>),
}

/// The block.
#[derive(Debug)]
pub struct GhostBottleneck {
    ghost1: Named<Ghost>,
    gate: Option<Named<AxialGate>>,
    downsample: Option<Downsample>,
    squeeze: Option<Named<SqueezeExcite>>,
    ghost2: Named<Ghost>,
    shortcut: Shortcut,
}

impl GhostBottleneck {
    /// A block by its settings.
    pub fn new(c: &GhostBottleneckConfig) -> Self {
        let gate = |reduced| SqueezeExcite::new(c.middle, reduced, ["conv_reduce", "conv_expand"], Activation::HardSigmoid);
        Self {
            ghost1: Named::new("ghost1", Ghost::new(c.inputs, c.middle, Activation::Relu, c)),
            // The published state dicts keep the gate inside ghost1.
            gate: c.gate.then(|| Named::new("ghost1.short_conv", AxialGate::new(c.inputs, c.middle, c.norm))),
            downsample: (c.stride > 1).then(|| Downsample::new(c)),
            squeeze: c.squeeze.map(|reduced| Named::new("se", gate(reduced))),
            ghost2: Named::new("ghost2", Ghost::new(c.middle, c.outputs, Activation::Identity, c)),
            shortcut: Shortcut::new(c),
        }
    }
}

impl Ghost {
    fn new(inputs: i64, outputs: i64, activation: Activation, c: &GhostBottleneckConfig) -> Self {
        let Some(reuse) = c.reuse.clone() else {
            return Ghost::Branched(BranchedGhost::new(inputs, outputs, activation, c.norm));
        };
        let config = GhostModuleConfig { outputs, activation, reuse, ratio: 2, primary: Conv2dConfig::default(), norm: c.norm };
        Ghost::Single(GhostModule::new(inputs, &config))
    }
}

impl Downsample {
    fn new(c: &GhostBottleneckConfig) -> Self {
        if c.reuse.is_none() {
            let branches = depthwise_branches("dw_rpr", c.middle, c.kernel, c.stride, c.norm);
            return Downsample::Branched(BranchSum::new(None, branches, "conv_dw"));
        }
        let conv = Conv2d::depthwise(c.middle, c.kernel, c.stride);
        Downsample::Single(ConvBn::new(["conv_dw", "bn_dw"], conv, c.norm, Activation::Identity))
    }
}

impl Shortcut {
    fn new(c: &GhostBottleneckConfig) -> Self {
        let linear = |names, conv| ConvBn::new(names, conv, c.norm, Activation::Identity);
        match (c.inputs == c.outputs && c.stride == 1, c.shortcut) {
            (true, true) => Shortcut::Identity,
            (true, false) => Shortcut::None,
            (false, _) => Shortcut::Projection(Box::new([
                linear(["shortcut.0", "shortcut.1"], Conv2d::depthwise(c.inputs, c.kernel, c.stride)),
                linear(["shortcut.2", "shortcut.3"], Conv2d::new(c.inputs, c.outputs, Conv2dConfig::default())),
            ])),
        }
    }
}

impl Tree for Ghost {
    fn visit(&self, v: &mut Collector) {
        match self {
            Ghost::Single(module) => module.visit(v),
            Ghost::Branched(module) => module.visit(v),
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        match self {
            Ghost::Single(module) => module.fuse(level),
            Ghost::Branched(module) => module.fuse(level),
        }
    }
}

impl Module for Ghost {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        match self {
            Ghost::Single(module) => module.forward(ops, x),
            Ghost::Branched(module) => module.forward(ops, x),
        }
    }
}

impl Tree for Downsample {
    fn visit(&self, v: &mut Collector) {
        match self {
            Downsample::Single(conv) => conv.visit(v),
            Downsample::Branched(sum) => sum.visit(v),
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        match self {
            Downsample::Single(conv) => conv.fuse(level),
            Downsample::Branched(sum) => sum.fuse(level),
        }
    }
}

impl Module for Downsample {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        match self {
            Downsample::Single(conv) => conv.forward(ops, x),
            Downsample::Branched(sum) => sum.forward(ops, x),
        }
    }
}

impl Tree for GhostBottleneck {
    fn visit(&self, v: &mut Collector) {
        self.ghost1.visit(v);
        self.gate.visit(v);
        self.downsample.visit(v);
        self.squeeze.visit(v);
        self.ghost2.visit(v);
        if let Shortcut::Projection(convs) = &self.shortcut {
            convs.visit(v);
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.ghost1.fuse(level);
        self.gate.fuse(level);
        self.downsample.fuse(level);
        self.ghost2.fuse(level);
        if let Shortcut::Projection(convs) = &mut self.shortcut {
            convs.fuse(level);
        }
    }
}

impl Module for GhostBottleneck {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let mut y = self.ghost1.forward(ops, x);
        if let Some(gate) = &self.gate {
            y = ops.scope(&gate.name, |ops| gate.apply(ops, x, &y));
        }
        let y = self.downsample.forward(ops, &y);
        let y = self.squeeze.forward(ops, &y);
        let y = self.ghost2.forward(ops, &y);
        match &self.shortcut {
            Shortcut::None => y,
            Shortcut::Identity => ops.add(&y, x),
            Shortcut::Projection(convs) => {
                let s = convs.forward(ops, x);
                ops.add(&y, &s)
            }
        }
    }
}
