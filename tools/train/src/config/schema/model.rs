//! `model` and `init`: backbone, neck, head, and the weights to start from.

use repghost_backbone::BackboneConfig;
use repghost_heads::fpn::FpnConfig;
use repghost_heads::mask_rcnn::MaskRcnnConfig;
use repghost_heads::RetinaNetConfig;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::path::PathTemplate;

/// The keys below `model`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Backbone family and width.
    pub backbone: BackboneConfig,
    /// Feature pyramid (not used by the classifier).
    pub fpn: FpnConfig,
    /// Head, chosen by `name`.
    pub head: HeadConfig,
}

/// The keys below `model.head` for `name: classifier`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierConfig {
    /// Label smoothing of the cross-entropy.
    pub label_smoothing: f64,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self { label_smoothing: 0.1 }
    }
}

/// The keys below `model.head`; which there are depends on `name`.
#[derive(Clone, Debug, PartialEq)]
pub enum HeadConfig {
    /// One-stage boxes.
    RetinaNet(RetinaNetConfig),
    /// Two-stage boxes and masks.
    MaskRcnn(MaskRcnnConfig),
    /// Image classes.
    Classifier(ClassifierConfig),
}

impl HeadConfig {
    /// Values that `model.head.name` takes.
    pub const NAMES: &'static [&'static str] = &["retinanet", "mask_rcnn", "classifier"];

    /// The value of `model.head.name`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RetinaNet(_) => Self::NAMES[0],
            Self::MaskRcnn(_) => Self::NAMES[1],
            Self::Classifier(_) => Self::NAMES[2],
        }
    }
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self::RetinaNet(RetinaNetConfig::default())
    }
}

/// `name` first, then the head's own keys beside it.
impl Serialize for HeadConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys = match self {
            Self::RetinaNet(c) => serde_yaml::to_value(c),
            Self::MaskRcnn(c) => serde_yaml::to_value(c),
            Self::Classifier(c) => serde_yaml::to_value(c),
        }
        .map_err(serde::ser::Error::custom)?;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.name())?;
        for (key, value) in keys.as_mapping().into_iter().flatten() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Reads `name`, then hands the rest of the same map to the head's struct. Unlike serde's own tagged enums this buffers nothing, so
/// that an error deep inside still knows its path; the price is that `name` must come first, for which the loader cares.
impl<'de> Deserialize<'de> for HeadConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Head;
        impl<'de> Visitor<'de> for Head {
            type Value = HeadConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a map with a name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeadConfig, A::Error> {
                match map.next_key::<String>()?.as_deref() {
                    Some("name") => {}
                    _ => return Err(A::Error::missing_field("name")),
                }
                match map.next_value::<HeadName>()? {
                    HeadName::Retinanet => {
                        RetinaNetConfig::deserialize(MapAccessDeserializer::new(map)).map(HeadConfig::RetinaNet)
                    }
                    HeadName::MaskRcnn => MaskRcnnConfig::deserialize(MapAccessDeserializer::new(map)).map(HeadConfig::MaskRcnn),
                    HeadName::Classifier => {
                        ClassifierConfig::deserialize(MapAccessDeserializer::new(map)).map(HeadConfig::Classifier)
                    }
                }
            }
        }
        deserializer.deserialize_map(Head)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum HeadName {
    Retinanet,
    MaskRcnn,
    Classifier,
}

/// The keys below `init`: weights for a new run. (To go on with a run that was interrupted, use `--resume`.)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InitConfig {
    /// Weights of the backbone: a safetensors file of timm's, an official `.pth.tar`, or a plain state dict.
    pub backbone: Option<PathTemplate>,
    /// Weights of the whole detector.
    pub detector: Option<PathTemplate>,
}
