//! Networks with synthetic weights (`repghost_backbone::synthetic`) that find something: what parity checks, engine builds and benchmarks run on where
//! nothing is trained.
//!
//! Synthetic weights give the same score to everything, or a high one. Here the prediction layers are scaled so that logits reach four and
//! offsets one, and the score threshold is set so that about [`TARGET_CANDIDATES`] candidates pass.

use repghost_backbone::{synthetic, Backbone, BackboneConfig, Eager, Tree};
use repghost_heads::{Detector, FpnConfig, HeadConfig, Outputs, PostprocessConfig, Stage};
use repghost_train::detection::model::{self, Class};
use repghost_train::error::TrainError;
use repghost_train::Experiment;
use tch::{Kind, Tensor};

use crate::error::ExportError;

/// About so many candidates pass the score threshold on the image that it is set on.
pub const TARGET_CANDIDATES: usize = 120;
/// How many more or less: the threshold lies in the widest gap between scores of these ranks, so that no last digit decides who passes.
const CANDIDATES_AROUND: usize = 20;
/// Gains that are tried in turn, and what maps may reach.
const GAINS: [f64; 2] = [synthetic::DEEP_GAIN, 0.5];
const LARGEST_MAP: f64 = 1e3;
/// Largest logit.
const LOGIT: f64 = 4.0;
/// Largest box offset.
const DELTA: f64 = 1.0;

/// An experiment with a narrow head, for quick checks. `head` is a value of `model.head.name`.
///
/// # Errors
/// A name that is no detector's.
pub fn narrow(backbone: &BackboneConfig, head: &str) -> Result<Experiment, ExportError> {
    let head = HeadConfig::narrow(head)
        .ok_or_else(|| ExportError::Arguments(format!("{head} is no detector; these are: {}", HeadConfig::NAMES.join(", "))))?;
    let mut e = Experiment::default();
    e.model.backbone = backbone.clone();
    e.model.fpn = FpnConfig { channels: 16, ..FpnConfig::default() };
    e.model.head = repghost_train::config::HeadConfig::Detector(head);
    e.eval.max_detections = 40;
    Ok(e)
}

/// Classes `a`, `b`, …
pub fn classes(n: usize) -> Vec<Class> {
    (0..n).map(|i| Class { id: i as i64 + 1, name: format!("class {i}") }).collect()
}

/// Fills `tree`, of which `body` is a part, so that the body's maps stay well within half precision, as those of trained networks do. At the
/// usual gain, MobileOne-S0's sums of six branches reach 1e9.
fn fill_within_half(tree: &dyn Tree, body: &Backbone, pixels: &Tensor) -> Result<(), ExportError> {
    for gain in GAINS {
        synthetic::fill_with_gain(tree, "", gain);
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
    let net = config.build_classifier(classes).map_err(TrainError::from)?;
    fill_within_half(&net, &net, &synthetic::input("sample", &[1, 3, 64, 64]))?;
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

/// Outputs of a stage, after its prediction layers have been scaled.
fn scaled(d: &Detector, stage: &Stage, x: &Tensor) -> Result<Outputs<Tensor>, ExportError> {
    let run = || d.run_stage(stage, &mut Eager::eval(), x);
    for (name, output) in run() {
        let layers = d.prediction_layers().iter().filter(|layer| layer.suffix == stage.suffix() && layer.output == name);
        for layer in layers {
            scale(d, layer.path, if layer.output == "deltas" { DELTA } else { LOGIT } / largest(&output)?);
        }
    }
    Ok(run())
}

/// A detector of `classes` classes, filled and scaled on `pixels [N, 3, H, W]`; sets the experiment's score threshold.
///
/// # Errors
/// Settings that make none.
pub fn detector(e: &mut Experiment, classes: usize, pixels: &Tensor) -> Result<Detector, ExportError> {
    let _guard = tch::no_grad_guard();
    let mut d = model::build(e, classes)?;
    fill_within_half(&d, &d.backbone().body, pixels)?;
    // Every candidate passes and none is suppressed; the best come first.
    let most = TARGET_CANDIDATES + CANDIDATES_AROUND;
    let all = PostprocessConfig { score_threshold: 0.0, nms_threshold: 1.0, pre_nms_top_k: most, max_detections: most };
    let size = pixels.size();
    let sizes = vec![[size[2], size[3]]; size[0] as usize];
    let first = scaled(&d, &Stage::Image, pixels)?;
    let decoder = d.decoder().with_postprocess(all);
    let found = decoder.finish(first, sizes[0], &sizes, |stage, regions| scaled(&d, stage, &regions.pooled))?;
    e.eval.score_threshold = found.first().map_or(0.0, |f| widest_gap(&f.scores, TARGET_CANDIDATES - CANDIDATES_AROUND));
    model::set_postprocess(e, &mut d);
    Ok(d)
}

/// The middle of the widest gap of falling scores, behind at least `first` of them.
fn widest_gap(scores: &[f32], first: usize) -> f64 {
    let start = first.saturating_sub(1).min(scores.len().saturating_sub(2));
    let gaps = scores[start..].windows(2).map(|pair| [pair[0], pair[1]].map(f64::from));
    let widest = gaps.max_by(|a, b| (a[0] - a[1]).total_cmp(&(b[0] - b[1])));
    widest.map_or(0.0, |[above, below]| (above + below) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_lies_in_the_widest_gap_of_the_last_scores() {
        assert_eq!(widest_gap(&[1.0, 0.5, 0.375, 0.125, 0.0], 2), 0.25);
        assert_eq!(widest_gap(&[1.0, 0.5], 9), 0.75, "fewer scores than asked for");
        assert_eq!(widest_gap(&[0.5], 3), 0.0);
        assert_eq!(widest_gap(&[], 3), 0.0);
    }
}
