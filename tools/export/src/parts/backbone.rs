//! A backbone as a file: its tapped features, or its class logits.

use repghost_backbone::Backbone;

use crate::error::ExportError;
use crate::onnx::proto;
use crate::spec::{finish, ExportSpec};

/// The tapped features, named `C2` … by level.
///
/// # Errors
/// A size that the network's stride does not divide.
pub fn features(net: &Backbone, spec: &ExportSpec, metadata: &[(String, String)]) -> Result<proto::Model, ExportError> {
    spec.check(net.taps().last().map_or(1, |t| t.stride))?;
    let (mut ops, image) = spec.begin();
    let features = net.features(&mut ops, &image);
    let outputs: Vec<_> = net.taps().iter().map(|t| format!("C{}", t.level)).zip(features).collect();
    Ok(finish(ops, &outputs, &net.name, metadata))
}

/// Class logits, named `logits`.
///
/// # Errors
/// A size that the network's stride does not divide, or a backbone without classifier.
pub fn classifier(net: &Backbone, spec: &ExportSpec, metadata: &[(String, String)]) -> Result<proto::Model, ExportError> {
    if !net.has_classifier() {
        return Err(ExportError::Part { part: "classifier", why: "the model is a detector's backbone".into() });
    }
    spec.check(net.taps().last().map_or(1, |t| t.stride))?;
    let (mut ops, image) = spec.begin();
    let logits = net.classify(&mut ops, &image);
    Ok(finish(ops, &[("logits".into(), logits)], &net.name, metadata))
}
