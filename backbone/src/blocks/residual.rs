//! Residual blocks of ResNet (He et al., 2015), with plain or with ghost convolutions.
//!
//! ```text
//! y = relu(unit_n(… unit_1(x)) + shortcut(x))
//! ```
//!
//! Two 3x3 units make the basic block of ResNet-18/34, 1x1–3x3–1x1 the bottleneck of the deeper ones. A unit is a convolution with
//! batch norm, or a ghost module in its place (GhostNet paper, section 4.2). Every unit but the last ends in its own ReLU.

use super::GhostModule;
use crate::layers::ConvBn;
use crate::module::{Collector, FuseLevel, Module, Named, Tree};
use crate::ops::{Activation, Ops};

/// A convolution with norm and activation, or what replaces it.
#[derive(Debug)]
pub enum Unit {
    /// The plain form; it names its children itself (`conv1`, `bn1`).
    Plain(Box<ConvBn>),
    /// A ghost module under a name (`conv1`).
    Ghost(Box<Named<GhostModule>>),
}

impl Tree for Unit {
    fn visit(&self, v: &mut Collector) {
        match self {
            Unit::Plain(conv) => conv.visit(v),
            Unit::Ghost(module) => module.visit(v),
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        match self {
            Unit::Plain(conv) => conv.fuse(level),
            Unit::Ghost(module) => module.fuse(level),
        }
    }
}

impl Module for Unit {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        match self {
            Unit::Plain(conv) => conv.forward(ops, x),
            Unit::Ghost(module) => module.forward(ops, x),
        }
    }
}

/// The block.
#[derive(Debug)]
pub struct ResidualBlock {
    units: Vec<Unit>,
    shortcut: Option<Unit>,
}

impl ResidualBlock {
    /// A block of `units` in order; no `shortcut` unit means the identity.
    pub fn new(units: Vec<Unit>, shortcut: Option<Unit>) -> Self {
        Self { units, shortcut }
    }
}

impl Tree for ResidualBlock {
    fn visit(&self, v: &mut Collector) {
        self.units.visit(v);
        self.shortcut.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.units.fuse(level);
        self.shortcut.fuse(level);
    }
}

impl Module for ResidualBlock {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let y = self.units.forward(ops, x);
        let s = self.shortcut.forward(ops, x);
        let y = ops.add(&y, &s);
        ops.activation(&y, Activation::Relu)
    }
}
