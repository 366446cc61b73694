//! Where an experiment's files are, looked for when they are needed and not before.

use std::path::{Path, PathBuf};

use repghost_coco::formats;
use repghost_coco::shards::is_shards;

use super::error::ConfigError;
use super::path::PathTemplate;
use super::published::published;
use super::schema::Experiment;

/// Which part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// What the network learns from.
    Train,
    /// What is measured on.
    Val,
}

impl Split {
    /// Its key below `data`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
        }
    }
}

/// Where a split lies. What is named exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitPaths {
    /// Folder of images; `None` where the format of the annotations has a place for them.
    pub images: Option<PathBuf>,
    /// Annotation file, or folder of annotation files.
    pub annotations: PathBuf,
}

/// Variables in built-in experiments for the folder of a public set, and how it is laid out.
const KNOWN_SETS: [(&str, &str); 2] = [
    ("COCO", "COCO 2017 (train2017/, val2017/, annotations/)"),
    ("IMAGENET", "ImageNet-1K (train/CLASS/*.JPEG and val/CLASS/*.JPEG, 1000 classes)"),
];
/// What an image folder holds.
const CLASS_FOLDERS: &str = "a folder with one folder per class";
const WITHOUT_OBJECTS: &str = "to see a detector learn without any data: repghost-det demo (or: make demo)";
const WITHOUT_CLASSES: &str = "to make an image folder out of a detection set's boxes: repghost-det data crops";

impl Experiment {
    /// Folder and annotation file of a split.
    ///
    /// # Errors
    /// A key that is not set, a variable that is not set, or a path that does not exist; the message names what is expected where.
    pub fn split_paths(&self, split: Split) -> Result<SplitPaths, ConfigError> {
        let keys = match split {
            Split::Train => &self.data.train,
            Split::Val => &self.data.val,
        };
        let key = |name: &str| format!("data.{}.{name}", split.key());
        let what = "an annotation file (COCO), or a set in another format";
        let annotations = existing(&key("annotations"), &keys.annotations, what, "FILE", Path::exists)?;
        let format = formats::recognise(&annotations).map_or("coco", |format| format.name);
        if let Some(wanted) = self.data.source.only_format().filter(|wanted| *wanted != format) {
            let expects = formats::FORMATS.iter().find(|f| f.name == wanted).map_or("", |f| f.expects);
            return Err(ConfigError::OtherFormat { key: key("annotations"), path: annotations, found: format, wanted, expects });
        }
        if annotations.is_dir() && format == "coco" {
            let formats: Vec<String> = formats::FORMATS.iter().map(|f| format!("{} ({})", f.name, f.expects)).collect();
            let expected = format!("a COCO JSON file, or {}", formats.join(", "));
            return Err(ConfigError::DataMissing {
                key: key("annotations"),
                path: annotations,
                expected,
                instead: WITHOUT_OBJECTS,
            });
        }
        let images = match keys.images.is_none() && format != "coco" {
            true => None,
            false => {
                Some(existing(&key("images"), &keys.images, "a folder of images, or shards (*.tar)", "DIR", is_image_place)?)
            }
        };
        Ok(SplitPaths { images, annotations })
    }

    /// Folder of a split of an `image_folder` data set: one folder per class.
    ///
    /// # Errors
    /// As [`Experiment::split_paths`].
    pub fn image_folder(&self, split: Split) -> Result<PathBuf, ConfigError> {
        let keys = match split {
            Split::Train => &self.data.train,
            Split::Val => &self.data.val,
        };
        existing(&format!("data.{}.images", split.key()), &keys.images, CLASS_FOLDERS, "DIR", is_image_place)
    }

    /// The file in `init.backbone`, if one is set. A published name is looked up in the caches and fetched where they lack it.
    ///
    /// # Errors
    /// A variable that is not set, a file that does not exist, or published weights that cannot be had.
    pub fn init_backbone(&self) -> Result<Option<PathBuf>, ConfigError> {
        weights(
            "init.backbone",
            &self.init.backbone,
            "the backbone's weights (timm's safetensors, an official .pth.tar, or a state dict)",
        )
    }

    /// The file in `init.detector`, if one is set.
    ///
    /// # Errors
    /// As [`Experiment::init_backbone`].
    pub fn init_detector(&self) -> Result<Option<PathBuf>, ConfigError> {
        weights("init.detector", &self.init.detector, "the detector's weights")
    }
}

fn is_image_place(path: &Path) -> bool {
    path.is_dir() || is_shards(path)
}

fn weights(key: &str, template: &Option<PathTemplate>, what: &str) -> Result<Option<PathBuf>, ConfigError> {
    let Some(template) = template else { return Ok(None) };
    let path = template.resolve(key)?;
    if path.is_file() {
        return Ok(Some(path));
    }
    if let Some(file) =
        published(&path).map_err(|source| ConfigError::Published { key: key.to_string(), source: Box::new(source) })?
    {
        return Ok(Some(file));
    }
    Err(ConfigError::FileMissing {
        key: key.to_string(),
        path,
        expected: format!("{what}; pass {key}=FILE, a name of `repghost-det weights list`, or {key}=null to start from nothing"),
    })
}

fn existing(
    key: &str,
    template: &Option<PathTemplate>,
    what: &str,
    placeholder: &str,
    exists: impl Fn(&Path) -> bool,
) -> Result<PathBuf, ConfigError> {
    let Some(template) = template else {
        return Err(ConfigError::Missing { key: key.to_string(), expected: format!("{what}; pass {key}={placeholder}") });
    };
    let path = template.resolve(key)?;
    if exists(&path) {
        return Ok(path);
    }
    let known = KNOWN_SETS.iter().find(|(variable, _)| template.as_str().contains(&format!("${{{variable}")));
    let expected = match known {
        Some((variable, layout)) => format!("{layout}: export {variable}=DIR, or pass {key}={placeholder}"),
        None => format!("{what}; pass {key}={placeholder}"),
    };
    let instead = if what == CLASS_FOLDERS { WITHOUT_CLASSES } else { WITHOUT_OBJECTS };
    Err(ConfigError::DataMissing { key: key.to_string(), path, expected, instead })
}
