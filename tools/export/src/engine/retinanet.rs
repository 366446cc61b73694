//! RetinaNet's raw outputs, decoded and suppressed by the code that evaluates the model itself.

use std::sync::{Arc, Mutex};

use repghost_heads::retinanet::detect_image;
use repghost_heads::Detector;
use repghost_train::detection::infer::Plain;

use super::{Engine, Pictures};
use crate::error::ExportError;
use crate::runtime::onnxruntime::Data;
use crate::runtime::OnnxRuntime;

/// A raw file and the model whose anchors and settings belong to it.
pub struct RawRetinaNet {
    /// The loaded file.
    pub file: OnnxRuntime,
    /// The model; its weights play no part.
    pub detector: Arc<Mutex<Detector>>,
}

impl Engine for RawRetinaNet {
    fn detect(&mut self, p: Pictures) -> Result<Vec<Plain>, ExportError> {
        let failure = |m: &str| ExportError::Runtime { runtime: "onnxruntime", message: m.into() };
        let [_, _, height, width] = p.shape;
        let (anchors, config, layout) = {
            let detector = self.detector.lock().map_err(|_| failure("another thread failed"))?;
            let Detector::RetinaNet(net) = &*detector else { return Err(failure("the model is no RetinaNet")) };
            (net.anchors([height, width]), net.postprocess, net.layout.clone())
        };
        let mut outputs = self.file.run_with(&p.shape, p.pixels, |name, shape, data| match data {
            Data::Float(v) => (name.to_string(), shape.to_vec(), v.to_vec()),
            Data::Int(_) => (name.to_string(), vec![], vec![]),
        })?;
        let mut take = |name: &str| {
            let at = outputs.iter().position(|o| o.0 == name);
            at.map(|i| outputs.swap_remove(i)).ok_or_else(|| failure(&format!("output '{name}' is missing")))
        };
        let ((_, shape, logits), (_, _, deltas)) = (take("logits")?, take("deltas")?);
        let classes = shape.get(2).copied().unwrap_or(0) as usize;
        let n = anchors.boxes.len();
        if logits.len() != n * classes * p.sizes.len() || deltas.len() != n * 4 * p.sizes.len() {
            return Err(failure(&format!(
                "outputs of shape {shape:?} do not belong to {n} anchors: is it another experiment's file?"
            )));
        }
        let images = logits.chunks_exact((n * classes).max(1)).zip(deltas.chunks_exact((n * 4).max(1))).zip(p.sizes);
        Ok(images
            .map(|((logits, deltas), size)| {
                let found = detect_image(logits, deltas, classes, &anchors, *size, &config).of_classes(&layout);
                Plain { boxes: found.boxes, scores: found.scores, labels: found.labels, masks: None }
            })
            .collect())
    }
}
