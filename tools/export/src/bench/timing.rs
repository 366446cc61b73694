//! Times of one network in one runtime. The session lives for one call, so that no idle thread pool disturbs the next.

use repghost_backbone::synthetic::input;
use repghost_backbone::Backbone;
use tch::Kind;

use super::plan::Variant;
use crate::error::ExportError;
use crate::onnx::ElementType;
use crate::parts::backbone::classifier;
use crate::runtime::list::Takes;
use crate::runtime::session::{Input, Runs};
use crate::runtime::Settings;
use crate::spec::{encode, BatchSize, ExportSpec};

/// A network's ONNX file with a fixed batch.
///
/// # Errors
/// A size that does not fit.
pub fn onnx(net: &Backbone, batch: i64, size: [i64; 2], precision: ElementType) -> Result<Vec<u8>, ExportError> {
    let spec = ExportSpec { precision, batch: BatchSize::Fixed(batch), size };
    Ok(encode(&classifier(net, &spec, &[])?))
}

/// Milliseconds of each timed run of a classifier.
///
/// # Errors
/// The runtime's own.
pub fn backbone(net: &Backbone, v: &Variant, size: [i64; 2], runs: Runs) -> Result<Vec<f64>, ExportError> {
    let _guard = tch::no_grad_guard();
    let shape = [v.batch, 3, size[0], size[1]];
    let image = input("bench", &shape);
    let pixels = Vec::<f32>::try_from(image.f_to_kind(Kind::Float)?.f_reshape([-1])?)?;
    let inputs = [Input { shape: &shape, values: &pixels }];
    // The only session alive may let its threads spin.
    let settings = Settings { threads: v.threads, spin: true };
    match v.runtime.takes {
        Takes::File(open) => open(&onnx(net, v.batch, size, ElementType::F32)?, settings)?.time(&inputs, runs),
        Takes::Network(open) => open(net, &image, settings)?.time(&inputs, runs),
    }
}
