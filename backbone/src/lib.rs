//! Backbones: image in, feature maps (or class logits) out.
//!
//! ```
//! use repghost_backbone::{BackboneConfig, Eager, FuseLevel, Tree};
//! use tch::{Device, Kind, Tensor};
//!
//! // RepGhostNet at half width, without its classifier.
//! let mut net = BackboneConfig { width: 0.5, ..BackboneConfig::named("repghostnet") }.build_features()?;
//! let image = Tensor::zeros([1, 3, 224, 224], (Kind::Float, Device::Cpu));
//! let maps = tch::no_grad(|| net.features(&mut Eager::eval(), &image));
//! let strides: Vec<i64> = net.taps().iter().map(|tap| tap.stride).collect();
//! assert_eq!(strides, [4, 8, 16, 32]);
//! assert_eq!(maps[0].size(), [1, net.taps()[0].channels, 56, 56]);
//!
//! // For inference, branches and batch norms are folded into the convolutions.
//! net.fuse(FuseLevel::All);
//! assert!(net.named_tensors().iter().all(|t| !t.name.ends_with("running_mean")));
//! # Ok::<(), repghost_backbone::registry::RegistryError>(())
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`ops`] | the operations that forwards are written in, one trait for all readers |
//! | [`tree`], [`module`] | the module tree: names, parameters, fusing; nodes that have a forward |
//! | [`layers`] | convolution, norms, linear |
//! | [`blocks`] | the blocks of all families, and [`blocks::Custom`] for those of other crates |
//! | [`families`] | one file per family: a table of blocks |
//! | [`config`], [`member`], [`registry`] | settings, rows and names of networks |
//! | [`backbone`] | the [`Backbone`]: a list of named blocks with taps |
//! | [`eager`], [`cost`] | readers: execute on tensors; count parameters and multiply-adds |
//! | [`complexity`] | parameters, multiply-adds and activation memory of a network, stage by stage |
//! | [`dropout`] | dropout that repeats where replicas of a network run side by side |
//! | [`region`] | means over the images of a padded batch alone |
//! | [`freeze`] | the three switches of batch norms and frozen stages |
//! | [`weights`] | weight files: reading, comparing, loading, writing |
//! | [`shapes`] | names and shapes by which weight files are recognised |
//! | [`synthetic`] | deterministic weights and inputs, for parity checks and benchmarks |
//! | `testing` (feature `testing`) | fixture files from Python and comparisons, for tests |

pub mod backbone;
pub mod blocks;
pub mod complexity;
pub mod config;
pub mod cost;
pub mod dropout;
pub mod eager;
pub mod families;
pub mod freeze;
pub mod layers;
pub mod member;
mod mix;
pub mod module;
pub mod ops;
pub mod region;
pub mod registry;
mod rounding;
pub mod shapes;
mod switch;
pub mod sync_norm;
pub mod synthetic;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tree;
pub mod weights;

pub use backbone::{Backbone, Node, Tap};
pub use config::{BackboneConfig, NormKind, ReuseKind, TapStyle};
pub use eager::Eager;
pub use member::Member;
pub use module::{Collector, Entry, FuseLevel, Module, Named, Role, Tree};
pub use ops::{Activation, Ops};
pub use switch::StatsSwitch;
