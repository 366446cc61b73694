//! The detectors as one type: what trainers, evaluators and exporters hold.
//!
//! A detector is its settings ([`DetectorConfig`]), its networks ([`DetectorModel`]) and the host code that turns their outputs into detections
//! ([`Decoder`]). Its module implements the two traits; here are the rows that make it known: a variant of [`HeadConfig`] and of [`Detector`].

use repghost_backbone::{Backbone, Collector, Eager, FuseLevel, Ops, Tree};
use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{Error as _, MapAccess};
use serde::{Deserialize, Deserializer, Serialize};

use crate::backbone_with_fpn::BackboneWithFpn;
use crate::decoder::Decoder;
use crate::error::HeadError;
use crate::fcos::{Fcos, FcosConfig, FcosDecoder};
use crate::fpn::FpnConfig;
use crate::model::{DetectorConfig, DetectorModel, PredictionLayer};
use crate::postprocess::PostprocessConfig;
use crate::rcnn::{FasterRcnnConfig, MaskRcnnConfig, Rcnn, RcnnDecoder};
use crate::retinanet::{RetinaNet, RetinaNetConfig, RetinaNetDecoder};
use crate::stage::{DecodeError, Outputs, Regions, Stage};
use crate::types::{HostDetections, ImageBatch, Losses, Target};

/// The keys below `model.head`; `name` chooses the detector and with it the other keys.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "name")]
pub enum HeadConfig {
    /// One stage, dense boxes.
    #[serde(rename = "retinanet")]
    RetinaNet(RetinaNetConfig),
    /// One stage, without anchors.
    #[serde(rename = "fcos")]
    Fcos(FcosConfig),
    /// Two stages, boxes.
    #[serde(rename = "faster_rcnn")]
    FasterRcnn(FasterRcnnConfig),
    /// Two stages, boxes and masks.
    #[serde(rename = "mask_rcnn")]
    MaskRcnn(MaskRcnnConfig),
}

impl HeadConfig {
    /// Values of `model.head.name`.
    pub const NAMES: &'static [&'static str] = &["retinanet", "fcos", "faster_rcnn", "mask_rcnn"];

    /// Reads the keys beside `name`.
    ///
    /// # Errors
    /// A name that is none of [`HeadConfig::NAMES`]; unknown keys, values of other types.
    pub fn read<'de, D: Deserializer<'de>>(name: &str, keys: D) -> Result<Self, D::Error> {
        match name {
            "retinanet" => RetinaNetConfig::deserialize(keys).map(Self::RetinaNet),
            "fcos" => FcosConfig::deserialize(keys).map(Self::Fcos),
            "faster_rcnn" => FasterRcnnConfig::deserialize(keys).map(Self::FasterRcnn),
            "mask_rcnn" => MaskRcnnConfig::deserialize(keys).map(Self::MaskRcnn),
            _ => Err(D::Error::unknown_variant(name, Self::NAMES)),
        }
    }

    /// The detector of a name with its default settings; none for other names.
    pub fn named(name: &str) -> Option<Self> {
        let no_keys = std::iter::empty::<(&str, u8)>();
        Self::read(name, MapDeserializer::<_, serde::de::value::Error>::new(no_keys)).ok()
    }

    fn config(&self) -> &dyn DetectorConfig {
        match self {
            Self::RetinaNet(config) => config,
            Self::Fcos(config) => config,
            Self::FasterRcnn(config) => config,
            Self::MaskRcnn(config) => config,
        }
    }
}

/// A detector.
#[derive(Debug)]
pub enum Detector {
    /// RetinaNet.
    RetinaNet(Box<RetinaNet>),
    /// FCOS.
    Fcos(Box<Fcos>),
    /// Faster R-CNN, or with its mask branch Mask R-CNN.
    Rcnn(Box<Rcnn>),
}

impl Detector {
    /// A stage's named outputs, for any reader of the networks: `x` is an image batch `[N, 3, H, W]` or pooled regions
    /// `[R, channels, side, side]`.
    pub fn run_stage<O: Ops>(&self, stage: &Stage, ops: &mut O, x: &O::Value) -> Outputs<O::Value> {
        match self {
            Self::RetinaNet(d) => d.run_stage(ops, x),
            Self::Fcos(d) => d.run_stage(ops, x),
            Self::Rcnn(d) => d.run_stage(stage, ops, x),
        }
    }

    fn model(&self) -> &dyn DetectorModel {
        match self {
            Self::RetinaNet(d) => d.as_ref(),
            Self::Fcos(d) => d.as_ref(),
            Self::Rcnn(d) => d.as_ref(),
        }
    }

    fn model_mut(&mut self) -> &mut dyn DetectorModel {
        match self {
            Self::RetinaNet(d) => d.as_mut(),
            Self::Fcos(d) => d.as_mut(),
            Self::Rcnn(d) => d.as_mut(),
        }
    }

    fn into_model(self) -> Box<dyn DetectorModel> {
        match self {
            Self::RetinaNet(d) => d,
            Self::Fcos(d) => d,
            Self::Rcnn(d) => d,
        }
    }
}

// What follows holds for every detector.

impl HeadConfig {
    /// The value of `model.head.name`.
    pub fn name(&self) -> &'static str {
        self.config().facts().name
    }

    /// The detector's name in the literature.
    pub fn title(&self) -> &'static str {
        self.config().facts().title
    }

    /// Whether masks are trained and predicted.
    pub fn has_masks(&self) -> bool {
        self.config().facts().has_masks
    }

    /// Whether the head's outputs are numbered by COCO's category ids.
    pub fn coco_91(&self) -> bool {
        self.config().facts().coco_91
    }

    /// Backbone levels below the pyramid.
    pub fn levels(&self) -> &[u32] {
        self.config().facts().levels
    }

    /// Rules that concern the pyramid too. `at` stands at the common parent of `head` and `fpn`.
    pub fn check_with(&self, fpn: &FpnConfig, at: &mut Checker) {
        self.config().check_with(fpn, at);
    }

    /// Refuses settings that make no detector.
    ///
    /// # Errors
    /// All problems at once, under their keys in an experiment file.
    pub fn check(&self) -> Result<(), HeadError> {
        Ok(Check::check(self, "model.head")?)
    }

    /// The detector of a name with few and thin layers, for quick checks; none for other names.
    pub fn narrow(name: &str) -> Option<Self> {
        Some(match Self::named(name)? {
            Self::RetinaNet(c) => Self::RetinaNet(c.narrow()),
            Self::Fcos(c) => Self::Fcos(c.narrow()),
            Self::FasterRcnn(c) => Self::FasterRcnn(c.narrow()),
            Self::MaskRcnn(c) => Self::MaskRcnn(c.narrow()),
        })
    }

    /// Builds the detector of `classes` classes on a backbone. Initial weights come from torch's global generator.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn build(&self, backbone: Backbone, fpn: &FpnConfig, classes: i64) -> Result<Detector, HeadError> {
        let body = backbone;
        Ok(match self {
            Self::RetinaNet(c) => Detector::RetinaNet(Box::new(RetinaNet::new(body, fpn, c, classes)?)),
            Self::Fcos(c) => Detector::Fcos(Box::new(Fcos::new(body, fpn, c, classes)?)),
            Self::FasterRcnn(c) => Detector::Rcnn(Box::new(Rcnn::faster(body, fpn, c, classes)?)),
            Self::MaskRcnn(c) => Detector::Rcnn(Box::new(Rcnn::mask(body, fpn, c, classes)?)),
        })
    }

    /// The host part of the detector of `classes` classes: what an exported file needs to become detections. No network is built.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn decoder(&self, fpn: &FpnConfig, classes: i64) -> Result<Decoder, HeadError> {
        self.check()?;
        Ok(match self {
            Self::RetinaNet(c) => Decoder::RetinaNet(RetinaNetDecoder::new(fpn, c, classes)?),
            Self::Fcos(c) => Decoder::Fcos(FcosDecoder::new(fpn, c, classes)?),
            Self::FasterRcnn(c) => Decoder::Rcnn(RcnnDecoder::new(fpn, c, None, classes)?),
            Self::MaskRcnn(c) => Decoder::Rcnn(RcnnDecoder::new(fpn, &c.faster(), Some(&c.mask_head), classes)?),
        })
    }
}

impl Check for HeadConfig {
    fn rules(&self, at: &mut Checker) {
        self.config().check_rules(at);
    }
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self::RetinaNet(RetinaNetConfig::default())
    }
}

/// `name` is the first key of the map; the rest of the map is read by the head's own struct. Unlike serde's tagged enums this buffers nothing, so
/// that an error deep inside keeps its path.
impl<'de> Deserialize<'de> for HeadConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Head;
        impl<'de> serde::de::Visitor<'de> for Head {
            type Value = HeadConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a map that starts with a name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<HeadConfig, A::Error> {
                match map.next_key::<String>()?.as_deref() {
                    Some("name") => {}
                    _ => return Err(A::Error::missing_field("name")),
                }
                let name = map.next_value::<String>()?;
                HeadConfig::read(&name, MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Head)
    }
}

impl Detector {
    /// The value of `model.head.name`.
    pub fn name(&self) -> &'static str {
        self.model().name()
    }

    /// The networks, in the order in which they run.
    pub fn stages(&self) -> Vec<Stage> {
        self.decoder().stages()
    }

    /// Losses of a batch. `ops` is the mode: [`Eager::train`] updates batch-norm statistics.
    ///
    /// # Panics
    /// When there are not as many targets as images, or labels are not class indices of this detector.
    pub fn losses(&self, ops: &mut Eager, images: &ImageBatch, targets: &[Target]) -> Losses {
        self.model().losses(ops, images, targets)
    }

    /// The objects in the images, in inference mode.
    pub fn detect(&self, images: &ImageBatch) -> Vec<HostDetections> {
        let _guard = tch::no_grad_guard();
        let ops = &mut Eager::eval();
        let first = self.run_stage(&Stage::Image, ops, &images.pixels);
        let run = |stage: &Stage, regions: &Regions| Ok::<_, DecodeError>(self.model().run_regions(stage, ops, regions));
        let found = self.decoder().finish(first, images.padded_size(), &images.sizes, run);
        found.unwrap_or_else(|e| panic!("the outputs of a detector's own networks belong to it: {e}"))
    }

    /// Sets the random draws of a detector that samples for its losses to those of `seed`, from batch `batch` on. Called at the start of a run
    /// and after a resume, so that a resumed run draws what the uninterrupted one would have drawn.
    pub fn set_sampling(&self, seed: u64, batch: u64) {
        self.model().set_sampling(seed, batch);
    }

    /// Sets the number of a batch's first image, where the batch is a share of a larger one: random draws go by the number of the image in all
    /// of it.
    pub fn set_first_image(&self, image: usize) {
        self.model().set_first_image(image);
    }

    /// Sets thresholds and limits of detections.
    pub fn set_postprocess(&mut self, config: PostprocessConfig) {
        *self.model_mut().postprocess_mut() = config;
    }

    /// The backbone with its pyramid.
    pub fn backbone(&self) -> &BackboneWithFpn {
        self.model().backbone()
    }

    /// The backbone alone, without pyramid and head.
    pub fn into_body(self) -> Backbone {
        self.into_model().into_body()
    }

    /// The host part: anchors, box coder, label map, pooling, thresholds.
    pub fn decoder(&self) -> Decoder {
        match self {
            Self::RetinaNet(d) => Decoder::RetinaNet(d.decoder.clone()),
            Self::Fcos(d) => Decoder::Fcos(d.decoder.clone()),
            Self::Rcnn(d) => Decoder::Rcnn(d.decoder.clone()),
        }
    }

    /// The layers that predict.
    pub fn prediction_layers(&self) -> &'static [PredictionLayer] {
        self.model().prediction_layers()
    }

    /// Paths of the layers whose size is the number of classes: they are initialised anew when weights of other classes are fine-tuned.
    pub fn class_layers(&self) -> Vec<String> {
        self.prediction_layers().iter().filter(|layer| layer.per_class).map(|layer| layer.path.to_string()).collect()
    }

    /// Number of classes.
    pub fn classes(&self) -> i64 {
        self.decoder().labels().classes()
    }
}

impl Tree for Detector {
    fn visit(&self, v: &mut Collector) {
        self.model().visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.model_mut().fuse(level);
    }
}
