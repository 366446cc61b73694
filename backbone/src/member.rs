//! The row that adds a network to the [`registry`](crate::registry).
//!
//! A family is one file with a builder and its rows; a row states the name, the keys of [`BackboneConfig`] that the network takes, and
//! how its weight files are recognised. A crate of a user's own registers a row with [`register`](crate::registry::register):
//!
//! ```
//! use repghost_backbone::blocks::{Flatten, GlobalPool};
//! use repghost_backbone::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
//! use repghost_backbone::member::Member;
//! use repghost_backbone::{registry, Activation, Backbone, BackboneConfig, Node, Tap};
//!
//! /// Four stride-2 convolutions behind a stem: maps of strides 4, 8, 16 and 32.
//! fn build(config: &BackboneConfig, classes: i64) -> Backbone {
//!     let step = |name: &'static str, inputs, outputs| {
//!         let conv = Conv2d::new(inputs, outputs, Conv2dConfig::same(3).stride(2));
//!         Node::new(name, ConvBn::new(["conv", "bn"], conv, BatchNormConfig::default(), Activation::Relu))
//!     };
//!     let c = (16.0 * config.width) as i64;
//!     let body = vec![
//!         step("stem", 3, c),
//!         step("stage1", c, 2 * c),
//!         step("stage2", 2 * c, 4 * c),
//!         step("stage3", 4 * c, 8 * c),
//!         step("stage4", 8 * c, 16 * c),
//!     ];
//!     let taps = (1..5).map(|i| Tap::new(c << i, 2 << i, i as usize)).collect();
//!     let tail = vec![Node::new("", GlobalPool), Node::new("", Flatten), Node::new("fc", Linear::new(16 * c, classes))];
//!     Backbone::new("tiny", body, taps, tail)
//! }
//!
//! registry::register(Member::new("tiny", build).keys(&["width"]))?;
//! let mut net = BackboneConfig::named("tiny").build_features()?;
//! assert_eq!(net.taps()[3].channels, 256);
//! # Ok::<(), registry::RegistryError>(())
//! ```

use crate::backbone::Backbone;
use crate::config::{BackboneConfig, TapStyle};
use crate::shapes::Shapes;

/// Builds a network from its settings with a classifier of that many outputs.
pub type Build = fn(&BackboneConfig, i64) -> Backbone;

/// A network that [`BackboneConfig::name`] can name.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The name.
    pub name: &'static str,
    /// Keys of [`BackboneConfig`] that it takes, beside `name` and `dropout`.
    pub keys: &'static [&'static str],
    /// Levels that it taps with [`TapStyle::StageEnd`].
    pub levels: &'static [u32],
    /// Values of [`BackboneConfig::taps`] that it takes.
    pub taps: &'static [TapStyle],
    /// Its builder. The settings have been checked.
    pub build: Build,
    /// Whether the names and shapes of a weight file are this network's.
    pub recognise: fn(&Shapes) -> Option<Recognised>,
}

/// A weight file that a network recognises as its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Recognised {
    /// Channel multiplier, where the network has one and the shapes determine it.
    pub width: Option<f64>,
}

/// What a [`Member`] states about its settings, without its builder. Programs that only check settings hold these, so that no network, and no
/// libtorch, becomes part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// See [`Member::name`].
    pub name: &'static str,
    /// See [`Member::keys`].
    pub keys: &'static [&'static str],
    /// See [`Member::levels`].
    pub levels: &'static [u32],
    /// See [`Member::taps`].
    pub taps: &'static [TapStyle],
}

impl Member {
    /// What it states about its settings.
    pub const fn description(&self) -> Description {
        Description { name: self.name, keys: self.keys, levels: self.levels, taps: self.taps }
    }

    /// A row without keys, of a network that taps C2 to C5 and whose weight files `weights inspect` does not recognise.
    pub const fn new(name: &'static str, build: Build) -> Self {
        Self { name, keys: &[], levels: &[2, 3, 4, 5], taps: &[TapStyle::StageEnd], build, recognise: |_| None }
    }

    /// The same row with keys of [`BackboneConfig`].
    pub const fn keys(self, keys: &'static [&'static str]) -> Self {
        Self { keys, ..self }
    }

    /// The same row for a network that taps other levels.
    pub const fn levels(self, levels: &'static [u32]) -> Self {
        Self { levels, ..self }
    }

    /// The same row with a choice of taps.
    pub const fn taps(self, taps: &'static [TapStyle]) -> Self {
        Self { taps, ..self }
    }

    /// The same row with a function that recognises the network's weights, trained or fused.
    pub const fn recognised_by(self, recognise: fn(&Shapes) -> Option<Recognised>) -> Self {
        Self { recognise, ..self }
    }
}
