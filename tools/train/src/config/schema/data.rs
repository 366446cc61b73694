//! `data`: where samples come from.

use repghost_coco::classify::ClassifyConfig;
use repghost_coco::decode::DecodeConfig;
use repghost_coco::{AugmentConfig, OnBadAnnotation, OnUnreadableImage, RepeatFactorConfig};
use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::path::PathTemplate;

/// Kind of data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataSource {
    /// Annotated images: COCO JSON, or another format, which is recognised from what is there.
    #[default]
    Coco,
    /// YOLO: `data.yaml` or a folder of label files, and nothing else.
    Yolo,
    /// Pascal VOC: a folder of XML files, and nothing else.
    Voc,
    /// CVAT for images: its XML file, and nothing else.
    Cvat,
    /// LabelMe: a folder of JSON files, and nothing else.
    Labelme,
    /// The built-in generator: nothing is read from disk.
    Shapes,
    /// One folder per class (image classification).
    ImageFolder,
}

impl DataSource {
    /// The name, as an experiment file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coco => "coco",
            Self::Yolo => "yolo",
            Self::Voc => "voc",
            Self::Cvat => "cvat",
            Self::Labelme => "labelme",
            Self::Shapes => "shapes",
            Self::ImageFolder => "image_folder",
        }
    }

    /// The one format that is accepted; `None` where any is.
    pub fn only_format(self) -> Option<&'static str> {
        matches!(self, Self::Yolo | Self::Voc | Self::Cvat | Self::Labelme).then(|| self.name())
    }
}

/// The keys below `data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Kind of data set.
    pub source: DataSource,
    /// What is learned from.
    pub train: SplitConfig,
    /// What is measured on.
    pub val: SplitConfig,
    /// Names of the classes to learn, in the order of their indices; null takes all in the order of their ids.
    pub classes: Option<Vec<String>>,
    /// Train on images without objects too. mmdetection filters them (`filter_empty_gt`), and so do we by default.
    pub keep_empty: bool,
    /// What happens to annotations that would poison training.
    pub on_bad_annotation: OnBadAnnotation,
    /// What happens to images that are missing, cannot be decoded or have another size than their annotations give.
    pub on_unreadable_image: OnUnreadableImage,
    /// Turn images upright by their EXIF orientation. COCO's annotations are made for the pixels as stored, hence false; those of tools that
    /// show photos upright need true. (`predict` turns images unless this is false on its command line.)
    pub apply_exif: bool,
    /// Decoding threads; 0 decodes in the training thread. The batches are the same for any number.
    #[schemars(range(max = 256))]
    pub workers: usize,
    /// Memory for decoded images, so that later epochs read no file; 0 keeps none.
    #[schemars(range(max = 4_194_304), extend("x-unit" = "MiB"))]
    pub cache_mb: usize,
    /// Repeat images with rare classes (LVIS). Null: every image comes once per epoch.
    pub repeat_factor: Option<RepeatFactorConfig>,
    /// Where images are in shards (tar archives): so many shards, in a random order, whose images are mixed at a time. Each is then read about
    /// in one go. Null: the images of all shards are mixed.
    #[schemars(range(min = 1, max = 1_000_000), extend("x-unit" = "shards"))]
    pub shard_window: Option<usize>,
    /// How samples are resized and augmented.
    pub augment: AugmentConfig,
    /// How images are cut and altered for classification (in place of `augment`).
    pub classify: ClassifyConfig,
    /// The built-in generator's settings (`source: shapes`).
    pub shapes: ShapesConfig,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            source: DataSource::Coco,
            train: SplitConfig::default(),
            val: SplitConfig::default(),
            classes: None,
            keep_empty: false,
            on_bad_annotation: OnBadAnnotation::Error,
            on_unreadable_image: OnUnreadableImage::Error,
            apply_exif: false,
            workers: 2,
            cache_mb: 0,
            repeat_factor: None,
            shard_window: None,
            augment: AugmentConfig::default(),
            classify: ClassifyConfig::default(),
            shapes: ShapesConfig::default(),
        }
    }
}

impl DataConfig {
    /// How image files are decoded.
    pub fn decode(&self) -> DecodeConfig {
        DecodeConfig { apply_exif: self.apply_exif, ..Default::default() }
    }
}

impl Check for DataConfig {
    fn rules(&self, at: &mut Checker) {
        if let Some(classes) = &self.classes {
            at.require(!classes.is_empty(), "classes", "an empty list", "at least one name, or null for all classes");
            let mut seen = std::collections::HashSet::new();
            for name in classes.iter().filter(|name| !seen.insert(name.as_str())) {
                at.require(false, "classes", format!("'{name}' twice"), "each name once");
            }
        }
        if let Some(repeat_factor) = &self.repeat_factor {
            at.part("repeat_factor", repeat_factor);
        }
        at.part("augment", &self.augment);
        at.part("classify", &self.classify);
    }
}

/// One split of a data set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// Folder of images (for `image_folder`: the folder whose subfolders are classes). Formats that have their images in a known place
    /// need none.
    pub images: Option<PathTemplate>,
    /// Annotations: COCO JSON file, YOLO's `data.yaml` or label folder, a folder of Pascal VOC's XML or LabelMe's JSON files, or the
    /// XML file of CVAT.
    pub annotations: Option<PathTemplate>,
}

/// The keys below `data.shapes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShapesConfig {
    /// Images to learn from.
    #[schemars(range(min = 1), extend("x-unit" = "images"))]
    pub train_images: usize,
    /// Images to measure on (never among the former).
    #[schemars(range(min = 1), extend("x-unit" = "images"))]
    pub val_images: usize,
    /// Seed of the generator.
    pub seed: u64,
    /// What the pictures look like.
    pub picture: repghost_coco::shapes::ShapesConfig,
}

impl Default for ShapesConfig {
    fn default() -> Self {
        Self { train_images: 1000, val_images: 200, seed: 0, picture: Default::default() }
    }
}
