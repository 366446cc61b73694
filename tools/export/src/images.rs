//! Images that a file is checked, calibrated and measured on, opened once per export.

use std::path::PathBuf;
use std::sync::Arc;

use repghost_coco::decode::DecodeConfig;
use repghost_coco::shapes::{ShapesConfig, ShapesSource};
use repghost_coco::Source;
use repghost_train::config::{DataSource, Split};
use repghost_train::detection::data::{self, SplitData};
use repghost_train::images::{FoundImages, ImageFiles};
use repghost_train::Experiment;

use crate::error::ExportError;

/// Built-in pictures, where there is nothing else.
const BUILT_IN: usize = 32;

/// Images, and ground truth where there is some.
pub struct Images {
    /// The images.
    pub source: Arc<dyn Source>,
    /// Name of the kind, for reports.
    pub kind: &'static str,
    /// The validation data, where it was opened.
    pub validation: Option<SplitData>,
}

impl Images {
    /// The images named by `paths`, or else the experiment's validation data, or else built-in pictures. With `measured`, the names of a
    /// detector's classes by label, the validation data is opened in any case.
    ///
    /// # Errors
    /// Paths that do not exist; validation data that is there and cannot be used.
    pub fn open(e: &Experiment, paths: &[PathBuf], measured: Option<&[String]>) -> Result<Self, ExportError> {
        let validation = if paths.is_empty() || measured.is_some() { validation(e, measured)? } else { None };
        let (source, kind): (Arc<dyn Source>, _) = match &validation {
            _ if !paths.is_empty() => {
                (Arc::new(ImageFiles::new(FoundImages::find(paths, false)?.paths, DecodeConfig::default())), "images")
            }
            Some(val) if !val.source.is_empty() => (val.source.clone(), "validation images"),
            _ => {
                let config = ShapesConfig::default();
                (Arc::new(ShapesSource { seed: 0, first: 0, count: BUILT_IN, config, masks: false }), "built-in pictures")
            }
        };
        Ok(Self { source, kind, validation })
    }
}

/// The validation data; none where the experiment names none, or what it names is not on this machine. A file that is there and broken is
/// an error.
fn validation(e: &Experiment, classes: Option<&[String]>) -> Result<Option<SplitData>, ExportError> {
    match e.data.source {
        DataSource::ImageFolder => return Ok(None),
        DataSource::Shapes => {}
        _ if e.split_paths(Split::Val).is_err() => return Ok(None),
        _ => {}
    }
    Ok(Some(data::open(e, Split::Val, classes)?))
}

#[cfg(test)]
mod tests {
    use repghost_train::config::PathTemplate;

    use super::*;

    fn experiment(annotations: &str) -> (tempfile::TempDir, Experiment) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(PathTemplate::new(folder.path().join(name).display().to_string()));
        std::fs::write(folder.path().join("val.json"), annotations).unwrap();
        let mut e = Experiment::default();
        e.data.val.images = path("");
        e.data.val.annotations = path("val.json");
        (folder, e)
    }

    #[test]
    fn a_broken_annotation_file_is_an_error_and_an_absent_one_is_none() {
        let (folder, e) = experiment("{\"images\": [");
        let message = Images::open(&e, &[], None).err().unwrap().to_string();
        assert!(message.contains("val.json"), "{message}");
        std::fs::remove_file(folder.path().join("val.json")).unwrap();
        let images = Images::open(&e, &[], None).unwrap();
        assert_eq!((images.kind, images.source.len(), images.validation.is_none()), ("built-in pictures", BUILT_IN, true));
    }

    #[test]
    fn named_images_come_first_and_need_no_validation_data() {
        let (folder, e) = experiment("not opened");
        let path = folder.path().join("a.png");
        repghost_coco::RgbImage::new(4, 4).save(&path).unwrap();
        let images = Images::open(&e, &[path], None).unwrap();
        assert_eq!((images.kind, images.source.len()), ("images", 1));
    }
}
