//! Detections from operators that TensorRT builds without plugins. All shapes are known but for the batch.
//!
//! Proposals are thinned level by level by a fixed point ([`suppress`]) and the best of all levels go on, whether or not there are so many:
//! a score of zero marks those that are none, and masks their class scores. Of all (proposal, class) pairs the best [`CANDIDATES`] enter the
//! second suppression; the reference takes all, so both agree as long as no more pass the score threshold.

use repghost_backbone::ops::Ops;
use repghost_heads::rcnn::{Rcnn, RpnOutputs, StageOne};

use super::super::classes::of_outputs;
use super::super::graph::{Edge, ElementType};
use super::super::suppress::{decode_boxes, suppress, Suppression, CANDIDATES, MAX_TOP_K};
use super::super::writer::OnnxWriter;
use super::roi_align::{Atlas, Bins};
use super::{class_scores, classes, large_enough, mask_pool, own_masks, proposals, times, MIN_DETECTION};
use crate::error::ExportError;

/// `boxes [N, D, 4]`, `scores [N, D]`, `labels [N, D]`, with a mask branch `masks [N, D, side, side]`; a score of 0 where there is no detection.
///
/// # Errors
/// Adaptive RoIAlign sampling, whose shapes depend on the data.
pub fn detect(
    ops: &mut OnnxWriter,
    net: &Rcnn,
    stage: StageOne<Edge>,
    image: [i64; 2],
    rounds: usize,
) -> Result<Vec<(String, Edge)>, ExportError> {
    let (c, levels) = (net.config(), net.config().pooled_levels());
    let ratio = c.roi.sampling_ratio as i64;
    if ratio == 0 {
        let why = "model.head.roi.sampling_ratio is 0 (adaptive), which has no plain form; set it to 2, or take nms onnx";
        return Err(ExportError::part("detector", why));
    }
    let precision = ops.precision;
    let (regions, scores) = ops.scope("proposals", |ops| best_proposals(ops, net, &stage.rpn, image, rounds));
    let atlas = ops.scope("roi_align", |ops| Atlas::new(ops, &stage.pyramid[..levels.len()], &levels));
    let bins = |pool: usize| Bins { count: pool as i64, ratio };
    let pooled = ops.scope("roi_align.boxes", |ops| atlas.pool(ops, &regions, bins(c.box_head.pool)));
    let pooled = ops.cast(&pooled, precision);
    let raw = net.box_stage(ops, &pooled);
    let found = ops.scope("postprocess", |ops| {
        let found = candidates(ops, net, &raw.logits, &raw.deltas, &regions, &scores, image);
        best(ops, net, &found, rounds)
    });
    let logits = mask_pool(net).and_then(|pool| {
        let pooled = ops.scope("roi_align.masks", |ops| atlas.pool(ops, &found.boxes, bins(pool)));
        let pooled = ops.cast(&pooled, precision);
        net.mask_stage(ops, &pooled)
    });
    let (masks, (scores, labels)) = ops.scope("postprocess.masks", |ops| {
        let masks = logits.map(|logits| {
            let output = ops.with_scalar("Add", &found.places, 1.0);
            let masks = own_masks(ops, &logits, &output);
            let (n, d, side) = (found.scores.shape[0], found.scores.shape[1], masks.shape[1]);
            ops.reshape(&masks, &[-1, d, side, side], vec![n, d, side, side])
        });
        (masks, of_outputs(ops, &found.scores, &found.places, classes(&net.decoder.labels)))
    });
    let outputs = [("boxes", found.boxes), ("scores", scores), ("labels", labels)];
    Ok(outputs.into_iter().chain(masks.map(|m| ("masks", m))).map(|(name, edge)| (name.to_string(), edge)).collect())
}

/// Proposals `[N, R, 4]` and their scores `[N, R]`.
fn best_proposals(ops: &mut OnnxWriter, net: &Rcnn, rpn: &RpnOutputs<Edge>, image: [i64; 2], rounds: usize) -> (Edge, Edge) {
    let c = &net.config().rpn;
    let (mut boxes, mut scores) = (vec![], vec![]);
    for (i, level) in proposals::by_level(ops, net, rpn, image).into_iter().enumerate() {
        let limits = Suppression { iou: c.nms_thresh, score: proposals::above(c.score_thresh), rounds };
        let scope = format!("level{i}.suppress");
        scores.push(ops.scope(&scope, |ops| suppress(ops, &level.boxes, &level.scores, None, limits)));
        boxes.push(level.boxes);
    }
    let (boxes, scores) = (ops.concat(&boxes, 1), ops.concat(&scores, 1));
    let r = (c.post_nms_top_n_test as i64).min(scores.shape[1]).min(MAX_TOP_K);
    let (scores, order) = ops.top_k(&scores, r);
    (ops.pick_rows(&boxes, &order), scores)
}

/// Pairs of proposal and class, or what is left of them.
struct Pairs {
    boxes: Edge,
    scores: Edge,
    /// Head output without the background, an integer.
    places: Edge,
}

/// The best pairs, sorted; `logits [N * R, outputs]`, `deltas [N * R, 4 outputs]`.
fn candidates(
    ops: &mut OnnxWriter,
    net: &Rcnn,
    logits: &Edge,
    deltas: &Edge,
    regions: &Edge,
    valid: &Edge,
    image: [i64; 2],
) -> Pairs {
    let (n, r, outputs) = (regions.shape[0], regions.shape[1], logits.shape[1]);
    let classes = outputs - 1;
    let scores = class_scores(ops, logits);
    let scores = ops.reshape(&scores, &[-1, r, classes], vec![n, r, classes]);
    let zero = ops.graph.scalar(0.0, ElementType::F32);
    let valid = ops.compare("Greater", valid, &zero);
    let valid = ops.unsqueeze(&valid, 2);
    let scores = ops.broadcast("Mul", &scores, &valid);
    let scores = ops.reshape(&scores, &[0, -1], vec![n, r * classes]);
    let (scores, index) = ops.top_k(&scores, CANDIDATES.min(r * classes));
    let region = ops.with_scalar("Div", &index, classes as f64);
    let whole = ops.with_scalar("Mul", &region, classes as f64);
    let places = ops.broadcast("Sub", &index, &whole);
    let deltas = ops.cast(deltas, ElementType::F32);
    debug_assert_eq!(deltas.shape[0], times(n, r));
    let deltas = ops.reshape(&deltas, &[-1, r * outputs, 4], vec![n, r * outputs, 4]);
    let row = ops.with_scalar("Mul", &region, outputs as f64);
    let row = ops.broadcast("Add", &row, &places);
    let row = ops.with_scalar("Add", &row, 1.0);
    let deltas = ops.pick_rows(&deltas, &row);
    let from = ops.pick_rows(regions, &region);
    let weights = net.config().roi.bbox_reg_weights.map(f64::from);
    let boxes = decode_boxes(ops, &deltas, &from, weights, image);
    let large = large_enough(ops, &boxes, MIN_DETECTION);
    let large = ops.reshape(&large, &[0, -1], scores.shape.clone());
    Pairs { scores: ops.mul(&scores, &large), boxes, places }
}

fn best(ops: &mut OnnxWriter, net: &Rcnn, found: &Pairs, rounds: usize) -> Pairs {
    let p = &net.decoder.postprocess;
    let (iou, score) = (p.nms_threshold, p.score_threshold);
    let labels = ops.cast(&found.places, ElementType::F32);
    let kept = suppress(ops, &found.boxes, &found.scores, Some(&labels), Suppression { iou, score, rounds });
    let (scores, order) = ops.top_k(&kept, (p.max_detections as i64).min(kept.shape[1]));
    Pairs { boxes: ops.pick_rows(&found.boxes, &order), places: ops.pick(&found.places, &order), scores }
}
