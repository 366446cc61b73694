//! Networks with weights by rule (`repghost_backbone::fill`) that find something: what gates, engine builds and benchmarks run on where
//! nothing is trained.
//!
//! Weights by rule say the same of everything, or call everything an object. Here the last layers are scaled so that logits reach four and
//! offsets one, and the score threshold is set so that [`TARGET_CANDIDATES`] candidates pass.

use repghost_backbone::{fill, Backbone, BackboneConfig, Eager, Tree};
use repghost_heads::box_coder::Corners;
use repghost_heads::mask_rcnn::{BoxHeadConfig, MaskHeadConfig, MaskRcnnConfig, RpnConfig};
use repghost_heads::{Detector, FpnConfig, RetinaNetConfig};
use repghost_train::config::HeadConfig;
use repghost_train::detection::model::{self, Class};
use repghost_train::error::TrainError;
use repghost_train::Experiment;
use tch::{Kind, Tensor};

use crate::error::ExportError;

/// Candidates that pass the score threshold on the image that it is set on.
pub const TARGET_CANDIDATES: i64 = 120;
/// Gains that are tried in turn, and what maps may reach.
const GAINS: [f64; 2] = [fill::DEEP_GAIN, 0.5];
const LARGEST_MAP: f64 = 1e3;
/// Largest logit.
const LOGIT: f64 = 4.0;
/// Largest box offset.
const DELTA: f64 = 1.0;

/// An experiment with a narrow head, for quick checks: `retinanet` or `mask_rcnn`.
pub fn narrow(backbone: &BackboneConfig, head: &str) -> Experiment {
    let mut e = Experiment::default();
    e.model.backbone = backbone.clone();
    e.model.fpn = FpnConfig { channels: 16, ..FpnConfig::default() };
    e.model.head = match head {
        "mask_rcnn" => HeadConfig::MaskRcnn(MaskRcnnConfig {
            rpn: RpnConfig { pre_nms_top_n_test: 120, post_nms_top_n_test: 60, ..RpnConfig::default() },
            box_head: BoxHeadConfig { fcs: vec![32], ..BoxHeadConfig::default() },
            mask_head: MaskHeadConfig { convs: vec![16], deconv: 16, ..MaskHeadConfig::default() },
            ..MaskRcnnConfig::default()
        }),
        _ => HeadConfig::RetinaNet(RetinaNetConfig { tower_depth: 1, ..RetinaNetConfig::default() }),
    };
    e.eval.max_detections = 40;
    e
}

/// Classes `a`, `b`, …
pub fn classes(n: usize) -> Vec<Class> {
    (0..n).map(|i| Class { id: i as i64 + 1, name: format!("class {i}") }).collect()
}

/// Fills `tree`, of which `body` is a part, so that the body's maps stay well within half precision, as those of trained networks do. At the
/// usual gain, MobileOne-S0's sums of six branches reach 1e9.
fn fill_within_half(tree: &dyn Tree, body: &Backbone, pixels: &Tensor) -> Result<(), ExportError> {
    for gain in GAINS {
        fill::fill_with_gain(tree, "", gain);
        let maps = tch::no_grad(|| body.features(&mut Eager::eval(), pixels));
        let reached = maps.iter().map(largest).collect::<Result<Vec<_>, _>>()?.into_iter().fold(0.0, f64::max);
        if reached <= LARGEST_MAP {
            break;
        }
    }
    Ok(())
}

/// A backbone, filled.
///
/// # Errors
/// Settings that make none.
pub fn backbone(config: &BackboneConfig, classes: i64) -> Result<Backbone, ExportError> {
    let net = config.build(classes).map_err(TrainError::from)?;
    fill_within_half(&net, &net, &fill::input("sample", &[1, 3, 64, 64]))?;
    Ok(net)
}

fn largest(t: &Tensor) -> Result<f64, ExportError> {
    Ok(f64::try_from(t.f_abs()?.f_max()?.f_to_kind(Kind::Double)?)?)
}

fn scale(d: &Detector, path: &str, factor: f64) {
    let prefix = format!("{path}.");
    for mut entry in d.named_tensors().into_iter().filter(|e| e.name.starts_with(&prefix)) {
        let _ = entry.tensor.g_mul_scalar_(factor);
    }
}

/// The `TARGET_CANDIDATES`-th largest of `scores`.
fn threshold(scores: &Tensor) -> Result<f64, ExportError> {
    let flat = scores.f_reshape([-1])?.f_to_kind(Kind::Double)?;
    let k = TARGET_CANDIDATES.min(flat.numel() as i64);
    let (values, _) = flat.f_topk(k, 0, true, true)?;
    Ok(f64::try_from(values.f_min()?)?)
}

/// A detector of `classes` classes, filled and scaled on `pixels [N, 3, H, W]`; sets the experiment's score threshold.
///
/// # Errors
/// Settings that make none.
pub fn detector(e: &mut Experiment, classes: usize, pixels: &Tensor) -> Result<Detector, ExportError> {
    let _guard = tch::no_grad_guard();
    let d = model::build(e, classes)?;
    fill_within_half(&d, &d.backbone().body, pixels)?;
    let ops = &mut Eager::eval();
    let scores = match &d {
        Detector::RetinaNet(net) => {
            let raw = net.raw(ops, pixels);
            scale(&d, "head.classification_head.cls_logits", LOGIT / largest(&raw.logits)?);
            scale(&d, "head.regression_head.bbox_reg", DELTA / largest(&raw.deltas)?);
            net.raw(ops, pixels).logits.select(0, 0).sigmoid()
        }
        Detector::MaskRcnn(net) => {
            let raw = net.stage_one(ops, pixels).rpn;
            scale(&d, "rpn.head.cls_logits", LOGIT / largest(&raw.logits)?);
            scale(&d, "rpn.head.bbox_pred", DELTA / largest(&raw.deltas)?);
            let size = pixels.size();
            let sizes = vec![[size[2], size[3]]; size[0] as usize];
            let stage = net.stage_one(ops, pixels);
            let proposals = net.propose(&stage.rpn, sizes[0], &sizes, false);
            let boxes: Vec<Vec<Corners>> = proposals.into_iter().map(|p| p.boxes).collect();
            let regions = net.pool_boxes(&stage.pyramid, &boxes);
            let raw = net.box_stage(ops, &regions);
            scale(&d, "roi_heads.box_predictor.cls_score", LOGIT / largest(&raw.logits)?);
            scale(&d, "roi_heads.box_predictor.bbox_pred", DELTA / largest(&raw.deltas)?);
            let masks = net.mask_stage(ops, &net.pool_masks(&stage.pyramid, &boxes));
            scale(&d, "roi_heads.mask_predictor.mask_fcn_logits", LOGIT / largest(&masks)?);
            let first = boxes.first().map_or(0, Vec::len) as i64;
            let scores = net.box_stage(ops, &regions).logits.softmax(-1, Kind::Float);
            scores.narrow(0, 0, first).narrow(1, 1, net.layout.outputs() - 1)
        }
    };
    e.eval.score_threshold = threshold(&scores)?;
    let mut d = d;
    model::set_postprocess(e, &mut d);
    Ok(d)
}
