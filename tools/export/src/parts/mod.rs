//! The parts of a model as files.
//!
//! | module | what is in it |
//! |---|---|
//! | [`retinanet`] | raw outputs; detections |
//! | [`mask_rcnn`] | two stages in three files; detections with masks |

pub mod mask_rcnn;
pub mod retinanet;

use repghost_heads::Detector;

use crate::error::ExportError;
use crate::export::{self, ExportSpec};
use crate::metadata::Metadata;
use crate::model::{Model, Network};
use crate::onnx::proto;
use crate::onnx::retinanet::Nms;
use crate::request::Part;
use crate::sidecar::RawSidecar;

/// What images must be a multiple of for a pyramid to halve evenly down to C5.
pub const SIZE_MULTIPLE: i64 = 32;

/// One ONNX file.
#[derive(Debug)]
pub struct File {
    /// What is put between the stem of the output's name and its extension; empty for the main file.
    pub suffix: &'static str,
    /// Its content.
    pub model: proto::Model,
}

/// The files of a part, the main one first.
#[derive(Debug)]
pub struct Built {
    /// The files.
    pub files: Vec<File>,
    /// How to decode raw outputs.
    pub sidecar: Option<RawSidecar>,
}

impl Built {
    fn one(model: proto::Model) -> Self {
        Self { files: vec![File { suffix: "", model }], sidecar: None }
    }
}

/// Writes a part's graphs.
///
/// # Errors
/// Sizes that do not fit, parts that the model does not have, settings that cannot be written in plain operators.
pub fn build(model: &Model, part: Part, spec: &ExportSpec, nms: Nms, metadata: &Metadata) -> Result<Built, ExportError> {
    let m = &metadata.0;
    let none = |why: &str| Err(ExportError::Part { part: part.name(), why: why.into() });
    match (&model.network, part) {
        (Network::Backbone(b), Part::Backbone) => Ok(Built::one(export::backbone(b, spec, m)?)),
        (Network::Backbone(b), Part::Classifier) => Ok(Built::one(export::classifier(b, spec, m)?)),
        (Network::Detector(d), Part::Raw) => match d.as_ref() {
            Detector::RetinaNet(d) => retinanet::raw(d, spec, &model.classes, m),
            Detector::MaskRcnn(d) => mask_rcnn::raw(d, spec, &model.classes, m),
        },
        (Network::Detector(d), Part::Detector) => match d.as_ref() {
            Detector::RetinaNet(d) => Ok(Built::one(retinanet::detector(d, spec, nms, m)?)),
            Detector::MaskRcnn(d) => Ok(Built::one(mask_rcnn::detector(d, spec, nms, m)?)),
        },
        (Network::Backbone(_), _) => none("the model is a backbone, not a detector"),
        (Network::Detector(_), _) => none("the model is a detector"),
    }
}
