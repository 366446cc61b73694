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
use crate::module::{FuseLevel, Module, Tree, Visitor};
use crate::ops::{Activation, Ops};

/// A convolution with norm and activation, or what replaces it.
#[derive(Debug)]
pub enum Unit {
    /// The plain form; it names its children itself (`conv1`, `bn1`).
    Plain(ConvBn),
    /// A ghost module under a name (`conv1`).
    Ghost(&'static str, Box<GhostModule>),
}

impl Tree for Unit {
    fn visit(&self, v: &mut Visitor) {
        match self {
            Unit::Plain(conv) => conv.visit(v),
            Unit::Ghost(name, module) => v.child(name, module.as_ref()),
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        match self {
            Unit::Plain(conv) => conv.fuse(level),
            Unit::Ghost(_, module) => module.fuse(level),
        }
    }
}

impl Module for Unit {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        match self {
            Unit::Plain(conv) => conv.forward(ops, x),
            Unit::Ghost(name, module) => ops.scope(name, |ops| module.forward(ops, x)),
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
    fn visit(&self, v: &mut Visitor) {
        for unit in self.units.iter().chain(&self.shortcut) {
            unit.visit(v);
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        for unit in self.units.iter_mut().chain(&mut self.shortcut) {
            unit.fuse(level);
        }
    }
}

impl Module for ResidualBlock {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let mut y = O::share(x);
        for unit in &self.units {
            y = unit.forward(ops, &y);
        }
        let y = match &self.shortcut {
            Some(unit) => {
                let s = unit.forward(ops, x);
                ops.add(&y, &s)
            }
            None => ops.add(&y, x),
        };
        ops.activation(&y, Activation::Relu)
    }
}
