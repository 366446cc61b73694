//! A backbone as a file: its tapped features, or its class logits.

use repghost_backbone::Backbone;

use crate::error::ExportError;
use crate::model::backbone_outputs;
use crate::onnx::proto;
use crate::spec::{finish, ExportSpec, Part};

/// The tapped features, named `C2` … by level.
///
/// # Errors
/// A size that the network's stride does not divide.
pub fn features(net: &Backbone, spec: &ExportSpec, metadata: &[(String, String)]) -> Result<proto::Model, ExportError> {
    file(net, Part::Backbone, spec, metadata)
}

/// Class logits, named `logits`.
///
/// # Errors
/// A size that the network's stride does not divide, or a backbone without classifier.
pub fn classifier(net: &Backbone, spec: &ExportSpec, metadata: &[(String, String)]) -> Result<proto::Model, ExportError> {
    if !net.has_classifier() {
        return Err(ExportError::part("classifier", "the model is a detector's backbone"));
    }
    file(net, Part::Classifier, spec, metadata)
}

fn file(net: &Backbone, part: Part, spec: &ExportSpec, metadata: &[(String, String)]) -> Result<proto::Model, ExportError> {
    spec.check(net.taps().last().map_or(1, |t| t.stride))?;
    let (mut ops, image) = spec.begin();
    let outputs = backbone_outputs(net, part, &mut ops, &image);
    Ok(finish(ops, &outputs, &net.name, metadata))
}
