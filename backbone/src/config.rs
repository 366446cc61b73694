//! The keys below `model.backbone` of an experiment file.
//!
//! The keys are flat, so that a sweep changes `name` alone. Which of them a network takes is stated in its row ([`Member`](crate::member::Member));
//! the [`registry`](crate::registry) refuses the others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::{Branch, Reuse};
use crate::layers::BatchNormConfig;

/// Which blocks a detector taps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TapStyle {
    /// The deepest block at each stride (24/40/112/160 channels for RepGhostNet 1.0x).
    #[default]
    StageEnd,
    /// timm's `features_only` taps of the Ghost families: right after each stride-2 block (24/40/80/160), for weights trained on
    /// those.
    Timm,
    /// torchvision's mobile detectors (`fasterrcnn_mobilenet_v3_large_fpn`): two maps of stride 32, the block that starts the last stage and the
    /// wide convolution behind it.
    Torchvision,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Norm of a ResNet or MobileNetV3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Batch norm.
    #[default]
    Batch,
    /// torchvision's FrozenBatchNorm2d, as its detectors have it: a fixed affine map without learned parameters.
    Frozen,
}

/// The keys below `model.backbone`.
///
/// A key that the chosen network does not take has to stay at its default; [`BackboneConfig::check`] refuses anything else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackboneConfig {
    /// Network.
    pub name: String,
    /// Channel multiplier of the Ghost families and MobileNets.
    #[schemars(range(min = 0.05, max = 16.0))]
    pub width: f64,
    /// How RepGhost modules reuse features.
    pub reuse: ReuseKind,
    /// With `reuse: add`, the added branches of RepGhost modules: any of `bn`, `dw1x1`, `identity`; an empty list is the ablation's
    /// "none".
    pub branches: Vec<Branch>,
    /// Identity shortcuts of RepGhostNet's bottlenecks.
    pub shortcut: bool,
    /// RepGhostNet's squeeze-and-excitation.
    pub se: bool,
    /// The paper's `s` of `ghost_resnet50` and `repghost_resnet50`: 2 or 4.
    pub ratio: i64,
    /// Norm of the ResNets and MobileNetV3.
    pub norm: NormKind,
    /// What the norms of ResNets and MobileNetV3 add to the variance; null for the reference's own (1e-5; MobileNetV3 with batch norm: 1e-3). torchvision's
    /// first detectors on COCO (`…_fpn`, not `…_fpn_v2`) were published with 0, timm's MobileNetV3 with 1e-5.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1))]
    pub norm_eps: Option<f64>,
    /// Which blocks are tapped.
    pub taps: TapStyle,
    /// Dropout probability before the classifier (image classification only); null for the reference's own: 0.2 for the Ghost
    /// families, MobileNetV2, MobileNetV3 and RepGhostNetV2, else 0.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1))]
    pub dropout: Option<f64>,
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
            ratio: 2,
            norm: NormKind::Batch,
            norm_eps: None,
            taps: TapStyle::StageEnd,
            dropout: None,
        }
    }
}

impl BackboneConfig {
    /// A network with its defaults.
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// `reuse` and `branches` as one value.
    pub fn reuse(&self) -> Reuse {
        match self.reuse {
            ReuseKind::Add => Reuse::Add(self.branches.clone()),
            ReuseKind::AddAfterRelu => Reuse::AddAfterRelu,
            ReuseKind::Concat => Reuse::Concat,
        }
    }

    /// `norm` and `norm_eps` as the constants of a batch norm.
    pub fn batch_norm(&self) -> BatchNormConfig {
        let default = BatchNormConfig::default();
        BatchNormConfig { tracked: self.norm == NormKind::Batch, eps: self.norm_eps.unwrap_or(default.eps), ..default }
    }

    /// The dropout probability, `default` where the key is null.
    pub fn dropout_or(&self, default: f64) -> f64 {
        self.dropout.unwrap_or(default)
    }
}
