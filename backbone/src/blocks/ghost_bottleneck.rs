//! The bottleneck of GhostNet (Han et al., 2020) and RepGhostNet (Chen et al., 2022, figure 4).
//!
//! ```text
//! ghost1 (ReLU) → [depthwise k x k, stride 2, BN] → [squeeze-excite] → ghost2 (linear) → + shortcut
//! ```
//!
//! GhostNetV2 (Tang et al., 2022) multiplies ghost1's output by an [`AxialGate`] that looks at ghost1's input.
//!
//! The kernel `k` is used only by the stride-2 convolution and by the projection shortcut. Nothing follows the sum.

use super::{AxialGate, GhostModule, GhostModuleConfig, Reuse, SqueezeExcite};
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn};
use crate::module::{FuseLevel, Module, Tree, Visitor};
use crate::ops::{Activation, Ops};

/// Path of the gate, which the published state dicts keep inside ghost1.
const GATE: &str = "ghost1.short_conv";

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
    /// How the ghost modules reuse features.
    pub reuse: Reuse,
    /// Whether ghost1 is gated by axial attention (GhostNetV2).
    pub gate: bool,
    /// Whether identity shortcuts are kept (projection shortcuts always are).
    pub shortcut: bool,
    /// Constants of all batch norms.
    pub norm: BatchNormConfig,
}

/// The block.
#[derive(Debug)]
pub struct GhostBottleneck {
    ghost1: GhostModule,
    gate: Option<AxialGate>,
    downsample: Option<ConvBn>,
    squeeze: Option<SqueezeExcite>,
    ghost2: GhostModule,
    shortcut: Shortcut,
}

#[derive(Debug)]
enum Shortcut {
    None,
    Identity,
    Projection(Box<[ConvBn; 2]>),
}

impl GhostBottleneck {
    /// A block by its settings.
    pub fn new(c: &GhostBottleneckConfig) -> Self {
        let module = |inputs, outputs, activation| {
            let config = GhostModuleConfig {
                outputs,
                activation,
                reuse: c.reuse.clone(),
                ratio: 2,
                primary: Conv2dConfig::default(),
                norm: c.norm,
            };
            GhostModule::new(inputs, &config)
        };
        let linear = |names, conv| ConvBn::new(names, conv, c.norm, Activation::Identity);
        let shortcut = if c.inputs == c.outputs && c.stride == 1 {
            if c.shortcut {
                Shortcut::Identity
            } else {
                Shortcut::None
            }
        } else {
            Shortcut::Projection(Box::new([
                linear(["shortcut.0", "shortcut.1"], Conv2d::depthwise(c.inputs, c.kernel, c.stride)),
                linear(["shortcut.2", "shortcut.3"], Conv2d::new(c.inputs, c.outputs, Conv2dConfig::default())),
            ]))
        };
        Self {
            ghost1: module(c.inputs, c.middle, Activation::Relu),
            gate: c.gate.then(|| AxialGate::new(c.inputs, c.middle, c.norm)),
            downsample: (c.stride > 1).then(|| linear(["conv_dw", "bn_dw"], Conv2d::depthwise(c.middle, c.kernel, c.stride))),
            squeeze: c
                .squeeze
                .map(|reduced| SqueezeExcite::new(c.middle, reduced, ["conv_reduce", "conv_expand"], Activation::HardSigmoid)),
            ghost2: module(c.middle, c.outputs, Activation::Identity),
            shortcut,
        }
    }
}

impl Tree for GhostBottleneck {
    fn visit(&self, v: &mut Visitor) {
        v.child("ghost1", &self.ghost1);
        if let Some(gate) = &self.gate {
            v.child(GATE, gate);
        }
        if let Some(downsample) = &self.downsample {
            v.child("", downsample);
        }
        if let Some(squeeze) = &self.squeeze {
            v.child("se", squeeze);
        }
        v.child("ghost2", &self.ghost2);
        if let Shortcut::Projection(convs) = &self.shortcut {
            let [depthwise, pointwise] = convs.as_ref();
            v.child("", depthwise);
            v.child("", pointwise);
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.ghost1.fuse(level);
        if let Some(gate) = &mut self.gate {
            gate.fuse(level);
        }
        if let Some(downsample) = &mut self.downsample {
            downsample.fuse(level);
        }
        self.ghost2.fuse(level);
        if let Shortcut::Projection(convs) = &mut self.shortcut {
            convs.iter_mut().for_each(|c| c.fuse(level));
        }
    }
}

impl Module for GhostBottleneck {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let mut y = ops.scope("ghost1", |ops| self.ghost1.forward(ops, x));
        if let Some(gate) = &self.gate {
            y = ops.scope(GATE, |ops| gate.apply(ops, x, &y));
        }
        if let Some(downsample) = &self.downsample {
            y = downsample.forward(ops, &y);
        }
        if let Some(squeeze) = &self.squeeze {
            y = ops.scope("se", |ops| squeeze.forward(ops, &y));
        }
        y = ops.scope("ghost2", |ops| self.ghost2.forward(ops, &y));
        match &self.shortcut {
            Shortcut::None => y,
            Shortcut::Identity => ops.add(&y, x),
            Shortcut::Projection(convs) => {
                let [depthwise, pointwise] = convs.as_ref();
                let s = depthwise.forward(ops, x);
                let s = pointwise.forward(ops, &s);
                ops.add(&y, &s)
            }
        }
    }
}
