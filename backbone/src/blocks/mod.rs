//! Building blocks: what stands between two names of a backbone's list.

mod classifier;
mod ghost;
mod ghost_bottleneck;
mod squeeze_excite;

pub use classifier::{Dropout, Flatten, GlobalPool, HeadConv};
pub use ghost::{Branch, GhostModule, GhostModuleConfig, Reuse};
pub use ghost_bottleneck::{GhostBottleneck, GhostBottleneckConfig};
pub use squeeze_excite::SqueezeExcite;

use crate::layers::{ConvBn, Linear};
use crate::module::{FuseLevel, Module, Tree, Visitor};
use crate::ops::Ops;

/// Any block. An enum, not a trait object, so that the generic forward stays generic.
#[derive(Debug)]
pub enum Block {
    /// Convolution, batch norm, activation.
    ConvBn(ConvBn),
    /// The bottleneck of GhostNet, RepGhostNet and their ablations.
    Ghost(Box<GhostBottleneck>),
    /// Mean over height and width.
    GlobalPool(GlobalPool),
    /// A convolution with bias and activation.
    HeadConv(HeadConv),
    /// `[N, C, 1, 1]` to `[N, C]`.
    Flatten(Flatten),
    /// Dropout.
    Dropout(Dropout),
    /// The classifier.
    Linear(Linear),
}

impl Block {
    fn tree(&self) -> &dyn Tree {
        match self {
            Block::ConvBn(b) => b,
            Block::Ghost(b) => b.as_ref(),
            Block::GlobalPool(b) => b,
            Block::HeadConv(b) => b,
            Block::Flatten(b) => b,
            Block::Dropout(b) => b,
            Block::Linear(b) => b,
        }
    }

    fn tree_mut(&mut self) -> &mut dyn Tree {
        match self {
            Block::ConvBn(b) => b,
            Block::Ghost(b) => b.as_mut(),
            Block::GlobalPool(b) => b,
            Block::HeadConv(b) => b,
            Block::Flatten(b) => b,
            Block::Dropout(b) => b,
            Block::Linear(b) => b,
        }
    }
}

impl Tree for Block {
    fn visit(&self, v: &mut Visitor) {
        self.tree().visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.tree_mut().fuse(level);
    }
}

impl Module for Block {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        match self {
            Block::ConvBn(b) => b.forward(ops, x),
            Block::Ghost(b) => b.forward(ops, x),
            Block::GlobalPool(b) => b.forward(ops, x),
            Block::HeadConv(b) => b.forward(ops, x),
            Block::Flatten(b) => b.forward(ops, x),
            Block::Dropout(b) => b.forward(ops, x),
            Block::Linear(b) => b.forward(ops, x),
        }
    }
}

impl From<ConvBn> for Block {
    fn from(b: ConvBn) -> Self {
        Block::ConvBn(b)
    }
}

impl From<GhostBottleneck> for Block {
    fn from(b: GhostBottleneck) -> Self {
        Block::Ghost(Box::new(b))
    }
}

impl From<Linear> for Block {
    fn from(b: Linear) -> Self {
        Block::Linear(b)
    }
}

impl From<GlobalPool> for Block {
    fn from(b: GlobalPool) -> Self {
        Block::GlobalPool(b)
    }
}

impl From<HeadConv> for Block {
    fn from(b: HeadConv) -> Self {
        Block::HeadConv(b)
    }
}

impl From<Flatten> for Block {
    fn from(b: Flatten) -> Self {
        Block::Flatten(b)
    }
}

impl From<Dropout> for Block {
    fn from(b: Dropout) -> Self {
        Block::Dropout(b)
    }
}
