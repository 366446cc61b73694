//! Mask R-CNN in three files; what lies between is the code that evaluates the model itself.

use std::sync::{Arc, Mutex};

use repghost_heads::box_coder::Corners;
use repghost_heads::mask_rcnn::{BoxOutputs, RpnOutputs};
use repghost_heads::Detector;
use repghost_train::detection::infer::Plain;
use tch::{Kind, Tensor};

use super::{output, Engine, Pictures};
use crate::error::ExportError;
use crate::runtime::session::Input;
use crate::runtime::{Data, Session};

/// The files and the model whose anchors and settings belong to them.
pub struct RawMaskRcnn {
    /// Image to maps and anchors' outputs.
    pub stage_one: Box<dyn Session + Send>,
    /// Regions to classes and boxes.
    pub boxes: Box<dyn Session + Send>,
    /// Regions to masks.
    pub masks: Box<dyn Session + Send>,
    /// The model; its weights play no part.
    pub detector: Arc<Mutex<Detector>>,
}

type Outputs = Vec<(String, Tensor)>;

fn run(file: &mut dyn Session, shape: &[i64], values: &[f32]) -> Result<Outputs, ExportError> {
    let mut outputs = vec![];
    file.run(&[Input { shape, values }], &mut |name, shape, data| {
        let flat = match data {
            Data::Float(v) => Tensor::from_slice(v),
            Data::Int(v) => Tensor::from_slice(v),
        };
        outputs.push((name.to_string(), flat.view(shape)));
    })?;
    Ok(outputs)
}

fn run_regions(file: &mut dyn Session, regions: &Tensor) -> Result<Outputs, ExportError> {
    let values = Vec::<f32>::try_from(regions.f_to_kind(Kind::Float)?.f_reshape([-1])?)?;
    run(file, &regions.size(), &values)
}

impl Engine for RawMaskRcnn {
    fn detect(&mut self, p: Pictures) -> Result<Vec<Plain>, ExportError> {
        let _guard = tch::no_grad_guard();
        let failure = |m: &str| ExportError::Runtime { runtime: "onnxruntime", message: m.into() };
        let first = run(self.stage_one.as_mut(), &p.shape, p.pixels)?;
        let detector = self.detector.lock().map_err(|_| failure("another thread failed"))?;
        let Detector::MaskRcnn(net) = &*detector else { return Err(failure("the model is no Mask R-CNN")) };
        let rpn = RpnOutputs {
            logits: output(&first, "objectness")?.shallow_clone(),
            deltas: output(&first, "deltas")?.shallow_clone(),
        };
        let levels = &net.config().levels;
        let pyramid = levels.iter().map(|l| Ok(output(&first, &format!("P{l}"))?.shallow_clone()));
        let pyramid: Vec<Tensor> = pyramid.collect::<Result<_, ExportError>>()?;
        let proposals = net.propose(&rpn, [p.shape[2], p.shape[3]], p.sizes, false);
        let boxes: Vec<Vec<Corners>> = proposals.into_iter().map(|p| p.boxes).collect();
        if boxes.iter().all(Vec::is_empty) {
            return Ok(vec![Plain { masks: Some(vec![]), ..Plain::default() }; p.sizes.len()]);
        }
        let second = run_regions(self.boxes.as_mut(), &net.pool_boxes(&pyramid, &boxes))?;
        let raw =
            BoxOutputs { logits: output(&second, "logits")?.shallow_clone(), deltas: output(&second, "deltas")?.shallow_clone() };
        let found = net.find_boxes(&raw, &boxes, p.sizes);
        let boxes: Vec<Vec<Corners>> = found.iter().map(|f| f.boxes.clone()).collect();
        let wanted: Vec<i64> = found.iter().flat_map(|f| f.outputs.iter().copied()).collect();
        let masks = match wanted.len() {
            0 => Tensor::zeros([0, 1, 1], (Kind::Float, tch::Device::Cpu)),
            n => {
                let third = run_regions(self.masks.as_mut(), &net.pool_masks(&pyramid, &boxes))?;
                let all = output(&third, "masks")?;
                let rows = Tensor::arange(n as i64, (Kind::Int64, tch::Device::Cpu));
                all.index(&[Some(rows), Some(Tensor::from_slice(&wanted))]).sigmoid()
            }
        };
        net.detections(&found, &masks).iter().map(|d| Ok(Plain::of(d)?)).collect()
    }
}
