//! From an experiment file's `model.backbone` to a network.

use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::blocks::{Branch, Reuse};
use crate::families::repghostnet;

/// Names that [`BackboneConfig::name`] takes.
pub const NAMES: &[&str] = &["repghostnet"];

/// Which blocks a detector taps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TapStyle {
    /// The deepest block at each stride (24/40/112/160 channels for RepGhostNet 1.0x).
    #[default]
    StageEnd,
    /// timm's `features_only` taps: right after each stride-2 block (24/40/80/160), for weights trained on those.
    Timm,
}

/// How the modules of a ghost network reuse features: the steps of the RepGhost paper's figure 3.
///
/// | figure | keys |
/// |---|---|
/// | a, the Ghost module | `reuse: concat` |
/// | b, add instead of concat | `reuse: add_after_relu` |
/// | c, ReLU moved behind the add | `reuse: add`, `branches: [identity]` |
/// | d, the RepGhost module in training | `reuse: add`, `branches: [bn]` |
/// | e, the RepGhost module for inference | d, fused |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReuseKind {
    /// Branches are added before the activation, and fold into the depthwise convolution.
    #[default]
    Add,
    /// Added after the activation; cannot be folded.
    AddAfterRelu,
    /// Concatenated; cannot be folded.
    Concat,
}

/// The keys below `model.backbone`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackboneConfig {
    /// Family: one of [`NAMES`].
    pub name: String,
    /// Channel multiplier, for families that have one.
    pub width: f64,
    /// How RepGhost modules reuse features.
    pub reuse: ReuseKind,
    /// With `reuse: add` (elsewhere without effect), the added branches of RepGhost modules: any of `bn`, `dw1x1`, `identity`; an empty list is the ablation's "none".
    pub branches: Vec<Branch>,
    /// Identity shortcuts of ghost bottlenecks.
    pub shortcut: bool,
    /// Squeeze-and-excitation.
    pub se: bool,
    /// Which blocks are tapped.
    pub taps: TapStyle,
    /// Dropout before the classifier (image classification only).
    pub dropout: f64,
}

impl Default for BackboneConfig {
    fn default() -> Self {
        Self {
            name: "repghostnet".into(),
            width: 1.0,
            reuse: ReuseKind::Add,
            branches: vec![Branch::Bn],
            shortcut: true,
            se: true,
            taps: TapStyle::StageEnd,
            dropout: 0.2,
        }
    }
}

/// Why a backbone could not be built.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No family has that name.
    #[error("model.backbone.name: no backbone is called '{0}'; there are {list}", list = NAMES.join(", "))]
    UnknownName(String),
    /// The width makes no network.
    #[error("model.backbone.width: {0} is not a width between 0.05 and 16")]
    Width(f64),
}

impl BackboneConfig {
    /// Builds the network with a classifier of `classes` outputs. Initial weights come from torch's global generator.
    ///
    /// # Errors
    /// Unknown names, widths out of range.
    pub fn build(&self, classes: i64) -> Result<Backbone, RegistryError> {
        if !(0.05..=16.0).contains(&self.width) {
            return Err(RegistryError::Width(self.width));
        }
        match self.name.as_str() {
            "repghostnet" => Ok(repghostnet::build(&repghostnet::Settings {
                width: self.width,
                reuse: self.reuse(),
                shortcut: self.shortcut,
                squeeze_excite: self.se,
                classes,
                dropout: self.dropout,
                taps: self.taps,
            })),
            _ => Err(RegistryError::UnknownName(self.name.clone())),
        }
    }
    fn reuse(&self) -> Reuse {
        match self.reuse {
            ReuseKind::Add => Reuse::Add(self.branches.clone()),
            ReuseKind::AddAfterRelu => Reuse::AddAfterRelu,
            ReuseKind::Concat => Reuse::Concat,
        }
    }
}
