//! Building blocks: what stands between two names of a backbone's list.

mod axial_gate;
mod branch_sum;
mod branched_ghost;
mod classifier;
mod custom;
mod ghost;
mod ghost_bottleneck;
mod ghost_stage;
mod inverted_residual;
mod multi_branch;
mod residual;
mod squeeze_excite;
mod universal_bottleneck;

pub use axial_gate::AxialGate;
pub use branch_sum::BranchSum;
pub use branched_ghost::BranchedGhost;
pub use classifier::{Act, Dropout, Flatten, GlobalPool, HeadConv, MaxPool};
pub use custom::Custom;
pub use ghost::{Branch, GhostModule, GhostModuleConfig, Reuse};
pub use ghost_bottleneck::{GhostBottleneck, GhostBottleneckConfig};
pub use ghost_stage::{GhostStage, GhostStageConfig};
pub use inverted_residual::{InvertedNames, InvertedResidual, InvertedResidualConfig};
pub use multi_branch::{BranchNames, MultiBranch, MultiBranchConfig};
pub use residual::{ResidualBlock, Unit};
pub use squeeze_excite::SqueezeExcite;
pub use universal_bottleneck::{UniversalBottleneck, UniversalBottleneckConfig, UniversalNames};

use crate::layers::{ConvBn, Linear};
use crate::module::{Collector, FuseLevel, Module, Tree};
use crate::ops::Ops;

/// Writes [`Block`] from its list of variants, since no function can dispatch a generic forward: a new block is one line.
macro_rules! blocks {
    ($($(#[$doc:meta])* $name:ident($block:ty),)*) => {
        /// Any block. An enum, not a trait object, so that the generic forward stays generic; [`Custom`] holds blocks of other crates.
        #[derive(Debug)]
        pub enum Block {
            $($(#[$doc])* $name(Box<$block>),)*
        }

        impl Tree for Block {
            fn visit(&self, v: &mut Collector) {
                match self {
                    $(Block::$name(b) => b.visit(v),)*
                }
            }

            fn fuse(&mut self, level: FuseLevel) {
                match self {
                    $(Block::$name(b) => b.fuse(level),)*
                }
            }
        }

        impl Module for Block {
            fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
                match self {
                    $(Block::$name(b) => b.forward(ops, x),)*
                }
            }
        }

        $(impl From<$block> for Block {
            fn from(b: $block) -> Self {
                Block::$name(Box::new(b))
            }
        })*
    };
}

blocks! {
    /// Convolution, batch norm, activation.
    ConvBn(ConvBn),
    /// The bottleneck of GhostNet, RepGhostNet and their ablations.
    Ghost(GhostBottleneck),
    /// A stage of G-Ghost RegNet.
    GhostStage(GhostStage),
    /// The block of MobileNetV2 and V3.
    Inverted(InvertedResidual),
    /// The block of ResNet and its ghost forms.
    Residual(ResidualBlock),
    /// The block of RepVGG and MobileOne.
    MultiBranch(MultiBranch),
    /// The block of MobileNetV4 and RepGhostNetV2.
    Universal(UniversalBottleneck),
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
    /// A block of another crate.
    Custom(Custom),
}
