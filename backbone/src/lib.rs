//! Backbones: image in, feature maps (or class logits) out.
//!
//! | module | what is in it |
//! |---|---|
//! | [`ops`] | the vocabulary that forwards are written in, one for all readers |
//! | [`module`] | the module tree: names, parameters, fusing |
//! | [`layers`] | convolution, norms, linear |
//! | [`eager`], [`cost`] | readers: run on tensors; count parameters and multiply-adds |
//! | [`dropout`] | dropout that repeats where copies of a network run side by side |
//! | [`backbone`] | the [`Backbone`]: a list of named blocks with taps |
//! | [`fill`], [`fixture`] | weights by rule and numbers from Python, for tests |
//! | [`freeze`] | the three switches of batch norms and frozen stages |
//! | [`price`] | what a network costs, stage by stage |
//! | [`registry`] | names and settings to backbones |
//! | [`weights`] | weight files: reading, comparing, loading, writing |

pub mod backbone;
pub mod blocks;
pub mod cost;
pub mod dropout;
pub mod eager;
pub mod families;
pub mod fill;
pub mod fixture;
pub mod freeze;
pub mod layers;
pub mod module;
pub mod ops;
pub mod price;
pub mod registry;
pub mod weights;

pub use backbone::{Backbone, Tap};
pub use eager::Eager;
pub use module::{Entry, FuseLevel, Module, Role, Tree, Visitor};
pub use ops::{Activation, Ops};
pub use registry::{BackboneConfig, ReuseKind};
