//! Building blocks: what stands between two names of a backbone's list.

mod axial_gate;
mod classifier;
mod ghost;
mod ghost_bottleneck;
mod inverted_residual;
mod multi_branch;
mod residual;
mod squeeze_excite;

pub use axial_gate::AxialGate;
pub use classifier::{Act, Dropout, Flatten, GlobalPool, HeadConv, MaxPool};
pub use ghost::{Branch, GhostModule, GhostModuleConfig, Reuse};
pub use ghost_bottleneck::{GhostBottleneck, GhostBottleneckConfig};
pub use inverted_residual::{InvertedNames, InvertedResidual, InvertedResidualConfig};
pub use multi_branch::{BranchNames, MultiBranch, MultiBranchConfig};
pub use residual::{ResidualBlock, Unit};
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
    /// The block of MobileNetV2 and V3.
    Inverted(Box<InvertedResidual>),
    /// The block of ResNet and its ghost forms.
    Residual(ResidualBlock),
    /// The block of RepVGG and MobileOne.
    MultiBranch(Box<MultiBranch>),
    /// Maximum over windows.
    MaxPool(MaxPool),
    /// A non-linearity.
    Act(Act),
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
            Block::Inverted(b) => b.as_ref(),
            Block::Residual(b) => b,
            Block::MultiBranch(b) => b.as_ref(),
            Block::MaxPool(b) => b,
            Block::Act(b) => b,
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
            Block::Inverted(b) => b.as_mut(),
            Block::Residual(b) => b,
            Block::MultiBranch(b) => b.as_mut(),
            Block::MaxPool(b) => b,
            Block::Act(b) => b,
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
            Block::Inverted(b) => b.forward(ops, x),
            Block::Residual(b) => b.forward(ops, x),
            Block::MultiBranch(b) => b.forward(ops, x),
            Block::MaxPool(b) => b.forward(ops, x),
            Block::Act(b) => b.forward(ops, x),
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

impl From<InvertedResidual> for Block {
    fn from(b: InvertedResidual) -> Self {
        Block::Inverted(Box::new(b))
    }
}

impl From<ResidualBlock> for Block {
    fn from(b: ResidualBlock) -> Self {
        Block::Residual(b)
    }
}

impl From<MultiBranch> for Block {
    fn from(b: MultiBranch) -> Self {
        Block::MultiBranch(Box::new(b))
    }
}

impl From<MaxPool> for Block {
    fn from(b: MaxPool) -> Self {
        Block::MaxPool(b)
    }
}

impl From<Act> for Block {
    fn from(b: Act) -> Self {
        Block::Act(b)
    }
}
