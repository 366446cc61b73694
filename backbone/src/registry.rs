//! From an experiment file's `model.backbone` to a network.

use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::blocks::{Branch, Reuse};
use crate::families::{ghostnet, mobilenet_v2, mobilenet_v3, mobileone, repghostnet, repvgg, resnet};
use crate::layers::BatchNormConfig;

/// A family, or a member of one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Family {
    RepGhostNet,
    GhostNet(ghostnet::Version),
    MobileNetV2,
    MobileNetV3(mobilenet_v3::Size),
    ResNet(resnet::Depth),
    GhostResNet50,
    RepGhostResNet50,
    RepVgg(repvgg::Variant),
    MobileOne(mobileone::Variant),
}

const FAMILIES: [(&str, Family); 21] = [
    ("repghostnet", Family::RepGhostNet),
    ("ghostnet", Family::GhostNet(ghostnet::Version::V1)),
    ("ghostnetv2", Family::GhostNet(ghostnet::Version::V2)),
    ("mobilenet_v2", Family::MobileNetV2),
    ("mobilenet_v3_large", Family::MobileNetV3(mobilenet_v3::Size::Large)),
    ("mobilenet_v3_small", Family::MobileNetV3(mobilenet_v3::Size::Small)),
    ("resnet18", Family::ResNet(resnet::Depth::D18)),
    ("resnet34", Family::ResNet(resnet::Depth::D34)),
    ("resnet50", Family::ResNet(resnet::Depth::D50)),
    ("resnet101", Family::ResNet(resnet::Depth::D101)),
    ("ghost_resnet50", Family::GhostResNet50),
    ("repghost_resnet50", Family::RepGhostResNet50),
    ("repvgg_a0", Family::RepVgg(repvgg::Variant::A0)),
    ("repvgg_a1", Family::RepVgg(repvgg::Variant::A1)),
    ("repvgg_a2", Family::RepVgg(repvgg::Variant::A2)),
    ("repvgg_b0", Family::RepVgg(repvgg::Variant::B0)),
    ("mobileone_s0", Family::MobileOne(mobileone::Variant::S0)),
    ("mobileone_s1", Family::MobileOne(mobileone::Variant::S1)),
    ("mobileone_s2", Family::MobileOne(mobileone::Variant::S2)),
    ("mobileone_s3", Family::MobileOne(mobileone::Variant::S3)),
    ("mobileone_s4", Family::MobileOne(mobileone::Variant::S4)),
];

/// Names that [`BackboneConfig::name`] takes.
pub const NAMES: &[&str] = &{
    let mut names = [""; FAMILIES.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = FAMILIES[i].0;
        i += 1;
    }
    names
};

/// Which blocks a detector taps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TapStyle {
    /// The deepest block at each stride (24/40/112/160 channels for RepGhostNet 1.0x).
    #[default]
    StageEnd,
    /// timm's `features_only` taps of the Ghost families: right after each stride-2 block (24/40/80/160), for weights trained on
    /// those.
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

/// How a ResNet normalises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Batch norm.
    #[default]
    Batch,
    /// torchvision's FrozenBatchNorm2d, as its detectors have it: a fixed affine map, nothing of it is learned.
    Frozen,
}

/// The keys below `model.backbone`.
///
/// A key that means nothing to the chosen family has to stay at its default; [`BackboneConfig::check`] refuses anything else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackboneConfig {
    /// Family: one of [`NAMES`].
    pub name: String,
    /// Channel multiplier of the Ghost families and MobileNets.
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
    /// Norm of the ResNets.
    pub norm: NormKind,
    /// What the ResNets' norms add to the variance; null for the usual 1e-5. torchvision's first detectors on COCO (`…_fpn`, not
    /// `…_fpn_v2`) were published with 0.
    pub norm_eps: Option<f64>,
    /// Which blocks are tapped.
    pub taps: TapStyle,
    /// Dropout before the classifier (image classification only); the reference's own where nothing is said: 0.2 for the Ghost
    /// families and MobileNets, else 0.
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

/// Why a backbone could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("model.backbone.{key}: found {found}, expected {expected}")]
pub struct RegistryError {
    /// Key below `model.backbone`.
    pub key: &'static str,
    /// The value there.
    pub found: String,
    /// What may stand there.
    pub expected: String,
}

const WIDTHS: std::ops::RangeInclusive<f64> = 0.05..=16.0;
const RATIOS: [i64; 2] = [2, 4];
const MOBILE_DROPOUT: f64 = 0.2;

impl BackboneConfig {
    /// A family with its defaults.
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Whether the settings make a network.
    ///
    /// # Errors
    /// The first key that does not: an unknown name (the nearest one is suggested), a value out of range, or a setting that the
    /// family does not have.
    pub fn check(&self) -> Result<(), RegistryError> {
        self.family().map(|_| ())
    }

    /// Builds the network with a classifier of `classes` outputs. Initial weights come from torch's global generator.
    ///
    /// # Errors
    /// As [`BackboneConfig::check`].
    pub fn build(&self, classes: i64) -> Result<Backbone, RegistryError> {
        let family = self.family()?;
        let mobile = matches!(family, Family::RepGhostNet | Family::GhostNet(_) | Family::MobileNetV2 | Family::MobileNetV3(_));
        let dropout = self.dropout.unwrap_or(if mobile { MOBILE_DROPOUT } else { 0.0 });
        let (width, taps) = (self.width, self.taps);
        let resnet = |depth, form| {
            let default = BatchNormConfig::default();
            let eps = self.norm_eps.unwrap_or(default.eps);
            let norm = BatchNormConfig { tracked: self.norm == NormKind::Batch, eps, ..default };
            resnet::build(&resnet::Settings { depth, form, norm, classes, dropout })
        };
        Ok(match family {
            Family::RepGhostNet => repghostnet::build(&repghostnet::Settings {
                width,
                reuse: self.reuse(),
                shortcut: self.shortcut,
                squeeze_excite: self.se,
                classes,
                dropout,
                taps,
            }),
            Family::GhostNet(version) => ghostnet::build(&ghostnet::Settings { version, width, classes, dropout, taps }),
            Family::MobileNetV2 => mobilenet_v2::build(width, classes, dropout),
            Family::MobileNetV3(size) => mobilenet_v3::build(size, width, classes, dropout),
            Family::ResNet(depth) => resnet(depth, resnet::Form::Plain),
            Family::GhostResNet50 => resnet(resnet::Depth::D50, resnet::Form::Ghost(self.ratio)),
            Family::RepGhostResNet50 => resnet(resnet::Depth::D50, resnet::Form::RepGhost(self.ratio)),
            Family::RepVgg(variant) => repvgg::build(variant, classes, dropout),
            Family::MobileOne(variant) => mobileone::build(variant, classes, dropout),
        })
    }

    fn reuse(&self) -> Reuse {
        match self.reuse {
            ReuseKind::Add => Reuse::Add(self.branches.clone()),
            ReuseKind::AddAfterRelu => Reuse::AddAfterRelu,
            ReuseKind::Concat => Reuse::Concat,
        }
    }

    fn family(&self) -> Result<Family, RegistryError> {
        let error = |key, found: String, expected: String| Err(RegistryError { key, found, expected });
        let Some(&(_, family)) = FAMILIES.iter().find(|(name, _)| *name == self.name) else {
            let near = NAMES.iter().min_by_key(|n| strsim::damerau_levenshtein(n, &self.name.to_lowercase()));
            let hint = near.map_or(String::new(), |n| format!("; did you mean {n}?"));
            return error("name", format!("'{}'", self.name), format!("one of {}{hint}", NAMES.join(", ")));
        };
        for setting in self.settings() {
            if setting.changed && !(setting.known)(family) {
                let takers: Vec<&str> = FAMILIES.iter().filter(|(_, f)| (setting.known)(*f)).map(|(name, _)| *name).collect();
                let expected = format!("no such key for {} (only {} take it)", self.name, takers.join(", "));
                return error(setting.key, setting.found, expected);
            }
        }
        if !WIDTHS.contains(&self.width) {
            return error("width", self.width.to_string(), format!("a number from {} to {}", WIDTHS.start(), WIDTHS.end()));
        }
        if !RATIOS.contains(&self.ratio) {
            return error("ratio", self.ratio.to_string(), "2 or 4".into());
        }
        if self.branches != Self::default().branches && self.reuse != ReuseKind::Add {
            return error("branches", format!("{:?}", self.branches), "no such key unless reuse is add".into());
        }
        if let Some(eps) = self.norm_eps.filter(|eps| !(0.0..1.0).contains(eps)) {
            return error("norm_eps", eps.to_string(), "a number from 0 to below 1".into());
        }
        match self.dropout {
            Some(p) if !(0.0..1.0).contains(&p) => error("dropout", p.to_string(), "a number from 0 to below 1".into()),
            _ => Ok(family),
        }
    }

    /// The keys that only some families know.
    fn settings(&self) -> [Setting; 9] {
        let d = Self::default();
        let ghost = |f: Family| matches!(f, Family::RepGhostNet | Family::GhostNet(_));
        let repghost: fn(Family) -> bool = |f| f == Family::RepGhostNet;
        let scaled = |f| matches!(f, Family::RepGhostNet | Family::GhostNet(_) | Family::MobileNetV2 | Family::MobileNetV3(_));
        let ghost_resnet = |f| matches!(f, Family::GhostResNet50 | Family::RepGhostResNet50);
        let resnet = |f| matches!(f, Family::ResNet(_) | Family::GhostResNet50 | Family::RepGhostResNet50);
        [
            Setting::new("width", &self.width, &d.width, scaled),
            Setting::new("reuse", &self.reuse, &d.reuse, repghost),
            Setting::new("branches", &self.branches, &d.branches, repghost),
            Setting::new("shortcut", &self.shortcut, &d.shortcut, repghost),
            Setting::new("se", &self.se, &d.se, repghost),
            Setting::new("ratio", &self.ratio, &d.ratio, ghost_resnet),
            Setting::new("norm", &self.norm, &d.norm, resnet),
            Setting::new("norm_eps", &self.norm_eps, &d.norm_eps, resnet),
            Setting::new("taps", &self.taps, &d.taps, ghost),
        ]
    }
}

/// A key that only some families know.
struct Setting {
    key: &'static str,
    found: String,
    changed: bool,
    known: fn(Family) -> bool,
}

impl Setting {
    fn new<T: PartialEq + Serialize>(key: &'static str, value: &T, default: &T, known: fn(Family) -> bool) -> Self {
        let found = serde_json::to_string(value).unwrap_or_default().replace('"', "");
        Self { key, found, changed: value != default, known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        let error = BackboneConfig::named("resnet5O").check().unwrap_err();
        assert_eq!(error.key, "name");
        assert!(error.to_string().ends_with("did you mean resnet50?"), "{error}");
    }

    #[test]
    fn a_key_of_another_family_is_refused() {
        let refused = [
            ("branches", BackboneConfig { branches: vec![], ..BackboneConfig::named("resnet50") }),
            ("width", BackboneConfig { width: 0.5, ..BackboneConfig::named("repvgg_a0") }),
            ("ratio", BackboneConfig { ratio: 4, ..BackboneConfig::named("resnet50") }),
            ("ratio", BackboneConfig { ratio: 3, ..BackboneConfig::named("ghost_resnet50") }),
            ("norm", BackboneConfig { norm: NormKind::Frozen, ..BackboneConfig::named("ghostnet") }),
            ("norm_eps", BackboneConfig { norm_eps: Some(0.0), ..BackboneConfig::named("repvgg_a0") }),
            ("norm_eps", BackboneConfig { norm_eps: Some(-1e-5), ..BackboneConfig::named("resnet50") }),
            ("taps", BackboneConfig { taps: TapStyle::Timm, ..BackboneConfig::named("mobilenet_v2") }),
            ("se", BackboneConfig { se: false, ..BackboneConfig::named("ghostnet") }),
            ("branches", BackboneConfig { branches: vec![], reuse: ReuseKind::Concat, ..BackboneConfig::default() }),
            ("dropout", BackboneConfig { dropout: Some(1.0), ..BackboneConfig::named("resnet18") }),
            ("width", BackboneConfig { width: f64::NAN, ..BackboneConfig::default() }),
        ];
        for (key, config) in refused {
            assert_eq!(config.check().unwrap_err().key, key, "{config:?}");
        }
        let error = BackboneConfig { width: 1.3, ..BackboneConfig::named("resnet50") }.check().unwrap_err();
        assert!(error
            .to_string()
            .starts_with("model.backbone.width: found 1.3, expected no such key for resnet50 (only repghostnet,"));
    }
}
