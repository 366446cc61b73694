//! `model` and `init`: backbone, neck, head, and the weights to start from.

use std::sync::LazyLock;

use repghost_backbone::BackboneConfig;
use repghost_config::{Check, Checker};
use repghost_heads::fpn::FpnConfig;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::path::PathTemplate;

/// The keys below `model`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierConfig {
    /// Label smoothing of the cross-entropy.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1))]
    pub label_smoothing: f64,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self { label_smoothing: 0.1 }
    }
}

/// The keys below `model.head`; `name` decides which there are: a detector's, or the classifier's.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "an experiment has one")]
pub enum HeadConfig {
    /// Objects in images.
    Detector(repghost_heads::HeadConfig),
    /// Image classes.
    Classifier(ClassifierConfig),
}

/// `model.head.name` of the classifier.
const CLASSIFIER: &str = "classifier";
/// Values of `model.head.name`: the detectors' and the classifier's.
static NAMES: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| repghost_heads::HeadConfig::NAMES.iter().copied().chain([CLASSIFIER]).collect());

impl HeadConfig {
    /// Values that `model.head.name` takes.
    pub fn names() -> &'static [&'static str] {
        &NAMES
    }

    /// The value of `model.head.name`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Detector(config) => config.name(),
            Self::Classifier(_) => CLASSIFIER,
        }
    }

    /// The name in the literature.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Detector(config) => config.title(),
            Self::Classifier(_) => CLASSIFIER,
        }
    }

    /// The detector's keys; none for the classifier.
    pub fn detector(&self) -> Option<&repghost_heads::HeadConfig> {
        match self {
            Self::Detector(config) => Some(config),
            Self::Classifier(_) => None,
        }
    }

    /// Whether masks are trained and predicted.
    pub fn has_masks(&self) -> bool {
        self.detector().is_some_and(repghost_heads::HeadConfig::has_masks)
    }
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self::Detector(repghost_heads::HeadConfig::default())
    }
}

impl Check for HeadConfig {
    fn rules(&self, at: &mut Checker) {
        match self {
            Self::Detector(config) => config.rules(at),
            Self::Classifier(config) => config.rules(at),
        }
    }
}

impl Check for ClassifierConfig {}

impl Check for ModelConfig {
    fn rules(&self, at: &mut Checker) {
        at.part("backbone", &self.backbone);
        at.part("head", &self.head);
        let Some(head) = self.head.detector() else { return };
        head.check_with(&self.fpn, at);
        if let Some(taps) = self.backbone.levels() {
            // A level that is tapped twice has to stand twice.
            let levels = head.levels();
            let fits = taps.iter().filter(|level| levels.contains(level)).eq(levels);
            let expected = format!("levels that {} has ({taps:?})", self.backbone.name);
            at.require(fits, "head.levels", format!("{levels:?}"), expected);
        }
    }
}

/// One alternative per name: the head's own keys, with its name among them.
impl JsonSchema for HeadConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HeadConfig".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> schemars::Schema {
        let mut heads = repghost_heads::HeadConfig::json_schema(generator).to_value();
        if let Some(alternatives) = heads.get_mut("oneOf").and_then(serde_json::Value::as_array_mut) {
            alternatives.push(Named::json_schema(generator).to_value()["oneOf"][0].take());
            for head in alternatives {
                head["properties"]["name"]["description"] = "Which head this is; the keys beside it depend on it.".into();
            }
        }
        schemars::Schema::try_from(heads).unwrap_or_default()
    }
}

/// The classifier's keys with its name among them.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case")]
enum Named<'a> {
    /// Image classes.
    Classifier(&'a ClassifierConfig),
}

/// `name` first, then the head's own keys beside it.
impl Serialize for HeadConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Detector(config) => config.serialize(serializer),
            Self::Classifier(config) => Named::Classifier(config).serialize(serializer),
        }
    }
}

/// Reads `name`, then hands the rest of the same map to the head's struct. Unlike serde's own tagged enums this buffers nothing, so
/// that an error deep inside keeps its path. `name` must therefore be the first key; the loader guarantees it.
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
                let HeadName(name) = map.next_value()?;
                let keys = MapAccessDeserializer::new(map);
                match name {
                    CLASSIFIER => ClassifierConfig::deserialize(keys).map(HeadConfig::Classifier),
                    detector => repghost_heads::HeadConfig::read(detector, keys).map(HeadConfig::Detector),
                }
            }
        }
        deserializer.deserialize_map(Head)
    }
}

/// One of [`HeadConfig::names`].
struct HeadName(&'static str);

impl<'de> Deserialize<'de> for HeadName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = String::deserialize(deserializer)?;
        let name = HeadConfig::names().iter().find(|name| **name == found);
        name.map(|name| Self(name)).ok_or_else(|| D::Error::unknown_variant(&found, HeadConfig::names()))
    }
}

/// The keys below `init`: weights for a new run. (To go on with a run that was interrupted, use `--resume`.)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InitConfig {
    /// Weights of the backbone: a safetensors file of timm's, an official `.pth.tar`, a plain state dict, or a published name
    /// (`timm/repghostnet_130.in1k`, `hf:ORG/NAME/FILE`; `repghost-det weights list`), which is fetched once.
    pub backbone: Option<PathTemplate>,
    /// Weights of the whole detector: a file, or a published name (`torchvision/maskrcnn_resnet50_fpn_coco`).
    pub detector: Option<PathTemplate>,
}
