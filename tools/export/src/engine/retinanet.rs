//! RetinaNet's raw outputs, decoded and suppressed by the code that evaluates the model itself.

use std::sync::{Arc, Mutex};

use repghost_heads::retinanet::detect_image;
use repghost_heads::Detector;
use repghost_train::detection::infer::Plain;

use super::{Engine, Pictures};
use crate::error::ExportError;
use crate::runtime::Session;

/// A raw file and the model whose anchors and settings belong to it.
pub struct RawRetinaNet {
    /// The loaded file.
    pub file: Box<dyn Session + Send>,
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
        let outputs = self.file.outputs(&p.shape, p.pixels)?;
        let output = |name: &str| {
            let found = outputs.iter().find(|o| o.name == name);
            found.ok_or_else(|| failure(&format!("output '{name}' is missing")))
        };
        let (logits, deltas) = (output("logits")?, output("deltas")?);
        let (shape, logits, deltas) = (&logits.shape, &logits.data, &deltas.data);
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
