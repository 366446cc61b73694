//! The parts of a model as files.
//!
//! | module | what is in it |
//! |---|---|
//! | [`files`] | the files of a part, in memory and on disk |
//! | [`backbone`] | tapped features; class logits |
//! | [`detector`] | a detector's networks; a detector to the end |
//! | [`retinanet`], [`fcos`], [`rcnn`] | what lies between and after the networks of each detector |

pub mod backbone;
pub mod detector;
pub mod fcos;
pub mod files;
pub mod rcnn;
pub mod retinanet;

use crate::error::ExportError;
use crate::metadata::Metadata;
use crate::model::{Model, Network};
use crate::onnx::Nms;
use crate::spec::{ExportSpec, Part};

pub use files::{Built, File};

/// Writes a part's graphs.
///
/// # Errors
/// Sizes that do not fit, parts that the model does not have, settings that cannot be written in plain operators.
pub fn build(model: &Model, part: Part, spec: &ExportSpec, nms: Nms, metadata: &Metadata) -> Result<Built, ExportError> {
    let m = &metadata.0;
    let none = |why: &str| Err(ExportError::part(part.name(), why));
    match (&model.network, part) {
        (Network::Backbone(b), Part::Backbone) => Ok(Built::one(backbone::features(b, spec, m)?)),
        (Network::Backbone(b), Part::Classifier) => Ok(Built::one(backbone::classifier(b, spec, m)?)),
        (Network::Detector(d), Part::Raw) => detector::networks(d, spec, &model.classes, m),
        (Network::Detector(d), Part::Detector) => Ok(Built::one(detector::detector(d, spec, nms, m, &model.cutoffs)?)),
        (Network::Backbone(_), _) => none("the model is a backbone, not a detector"),
        (Network::Detector(_), _) => none("the model is a detector"),
    }
}
