//! Metadata of an exported file, in ONNX's `metadata_props`.

use std::path::Path;

use repghost_coco::judge::Thresholds;
use repghost_coco::Normalize;
use repghost_train::config::portable::portable;
use repghost_train::config::Loaded;
use repghost_train::detection::model::{keys, Class};
use repghost_train::{Experiment, TrainError};

use crate::error::ExportError;
use crate::model::Model;
use crate::onnx::proto;
use crate::spec::Part;

const FORMAT: &str = "format";
const FORMAT_VALUE: &str = "repghost-det onnx 1";
const PART: &str = "part";
const NORMALIZE: &str = "normalize";
const THRESHOLDS: &str = "thresholds";

/// Keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata(pub Vec<(String, String)>);

impl Metadata {
    /// Metadata of an export. `resolved` is the experiment as YAML; it is recorded without absolute paths.
    pub fn new(model: &Model, part: Part, precision: &str, fused: bool, resolved: &str) -> Self {
        let json = |v: Result<String, serde_json::Error>| v.unwrap_or_default();
        let pairs = [
            (FORMAT, FORMAT_VALUE.to_string()),
            (PART, part.name().into()),
            ("network", model.network.name()),
            ("precision", precision.into()),
            ("fused", (fused || model.form == repghost_backbone::weights::Form::Folded).to_string()),
            (NORMALIZE, json(serde_json::to_string(&Normalize::default()))),
            (keys::CLASSES, json(serde_json::to_string(&model.classes))),
            (keys::EXPERIMENT, portable(resolved)),
        ];
        Self(pairs.map(|(k, v)| (k.to_string(), v)).to_vec())
    }

    /// Adds the score thresholds that the file applies.
    ///
    /// # Errors
    /// None in practice: plain numbers and names.
    pub fn with_thresholds(mut self, thresholds: &Thresholds) -> Result<Self, serde_json::Error> {
        // The annotation file's folder is the author's.
        let name = std::path::Path::new(&thresholds.annotations).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let recorded = Thresholds { annotations: name, ..thresholds.clone() };
        self.0.push((THRESHOLDS.into(), serde_json::to_string(&recorded)?));
        Ok(self)
    }

    /// The score thresholds that the file applies.
    pub fn thresholds(&self) -> Option<Thresholds> {
        self.get(THRESHOLDS).and_then(|text| Thresholds::parse(text).ok())
    }

    /// Of a file.
    pub fn of(file: &proto::Model) -> Self {
        let text = |v: &Option<String>| v.clone().unwrap_or_default();
        Self(file.metadata_props.iter().map(|p| (text(&p.key), text(&p.value))).collect())
    }

    /// Adds the pairs to a file.
    pub fn append(self, file: &mut proto::Model) {
        let entry = |(key, value)| proto::StringEntry { key: Some(key), value: Some(value) };
        file.metadata_props.extend(self.0.into_iter().map(entry));
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// `fp32`, `fp16`, `int8`.
    pub fn precision(&self) -> Option<&str> {
        self.get("precision")
    }

    /// Whether branches and batch norms are folded.
    pub fn fused(&self) -> bool {
        self.get("fused") == Some("true")
    }

    /// The experiment that it was exported from, as YAML.
    ///
    /// # Errors
    /// There is none.
    pub fn experiment_text(&self) -> Result<&str, String> {
        self.get(keys::EXPERIMENT).ok_or_else(|| "its metadata holds no experiment".into())
    }

    /// Which part the file holds.
    ///
    /// # Errors
    /// A file that this program did not write.
    pub fn part(&self) -> Result<Part, String> {
        if self.get(FORMAT) != Some(FORMAT_VALUE) {
            return Err("not written by this version's `repghost-det export`, so it does not describe how to use it".into());
        }
        Part::ALL.into_iter().find(|p| Some(p.name()) == self.get(PART)).ok_or_else(|| "its metadata names no part".into())
    }

    /// Classes by label.
    pub fn classes(&self) -> Vec<Class> {
        self.get(keys::CLASSES).and_then(|c| serde_json::from_str(c).ok()).unwrap_or_default()
    }

    /// The experiment that it was exported from.
    ///
    /// # Errors
    /// None, or one that is damaged.
    pub fn experiment(&self) -> Result<Experiment, String> {
        let text = self.experiment_text()?;
        serde_yaml::from_str(text).map_err(|e| format!("the experiment in its metadata: {e}"))
    }
}

/// The experiment that an exported file was made from, with overrides.
///
/// # Errors
/// A file that cannot be read, was not written by this program, or holds no experiment; values that cannot work.
pub fn experiment_of(path: &Path, overrides: &[String]) -> Result<Loaded, ExportError> {
    let metadata = Metadata::of(&decode(path, &read(path)?)?);
    let format = |why: String| ExportError::Format { path: path.into(), why };
    metadata.part().map_err(format)?;
    let text = metadata.get(keys::EXPERIMENT).ok_or_else(|| format("its metadata holds no experiment".into()))?;
    Ok(Loaded::parse(text, path, overrides).map_err(TrainError::from)?)
}

/// Bytes of an exported file at most: protobuf's own limit.
const MAX_BYTES: u64 = 2 << 30;

/// The bytes of an exported file.
///
/// # Errors
/// No regular file, a longer one than ONNX files can be, the disk's.
pub fn read(path: &Path) -> Result<Vec<u8>, ExportError> {
    repghost_files::read_bounded(path, MAX_BYTES).map_err(ExportError::io(path))
}

/// Reads a file's messages.
///
/// # Errors
/// Bytes that are no ONNX file.
pub fn decode(path: &Path, bytes: &[u8]) -> Result<proto::Model, ExportError> {
    use prost::Message;
    proto::Model::decode(bytes).map_err(|e| ExportError::Format { path: path.into(), why: format!("no ONNX file: {e}") })
}

#[cfg(test)]
mod tests {
    use repghost_backbone::weights::Form;
    use repghost_backbone::BackboneConfig;

    use super::*;
    use crate::model::Network;

    fn model() -> Model {
        let net = BackboneConfig { width: 0.5, ..BackboneConfig::default() }.build_classifier(2).unwrap();
        let classes = vec![Class { id: 7, name: "dog".into() }];
        Model { network: Network::Backbone(Box::new(net)), classes, form: Form::Train, cutoffs: vec![] }
    }

    #[test]
    fn what_is_recorded_is_read_back_without_the_authors_folders() {
        let resolved = "data: {val: {images: /home/ann/val2017}}\n";
        let written = Metadata::new(&model(), Part::Raw, "fp16", false, resolved);
        let mut file = proto::Model::default();
        written.append(&mut file);
        let read = Metadata::of(&file);
        assert_eq!(read.part(), Ok(Part::Raw));
        assert_eq!(read.classes(), [Class { id: 7, name: "dog".into() }]);
        assert_eq!((read.get("precision"), read.get("fused")), (Some("fp16"), Some("false")));
        assert!(read.0.iter().all(|(_, value)| !value.contains("/home")), "{read:?}");
        assert_eq!(read.experiment().unwrap().data.val.images.unwrap().as_str(), "val2017");
    }

    #[test]
    fn files_of_others_are_refused() {
        let message = Metadata(vec![]).part().unwrap_err();
        assert!(message.contains("repghost-det export"), "{message}");
        let other = Metadata(vec![(FORMAT.into(), FORMAT_VALUE.into()), (PART.into(), "tail".into())]);
        assert!(other.part().unwrap_err().contains("no part"));
        assert!(other.experiment().unwrap_err().contains("no experiment"));
        assert!(decode(std::path::Path::new("a.onnx"), b"not a message").unwrap_err().to_string().contains("a.onnx"));
    }
}
