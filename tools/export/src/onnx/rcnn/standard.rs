//! Detections by ONNX's `NonMaxSuppression` and `RoiAlign`: exact and fast on a CPU, with shapes that depend on the data. One image per run.

use repghost_backbone::ops::Ops;
use repghost_heads::rcnn::{Rcnn, StageOne};
use tch::Tensor;

use super::super::classes::of_outputs;
use super::super::graph::{Attribute, Edge, ElementType, DYNAMIC};
use super::super::suppress::decode_boxes;
use super::super::writer::OnnxWriter;
use super::levels::reached;
use super::{class_scores, classes, large_enough, mask_pool, own_masks, proposals, MIN_DETECTION};

/// Settings of a suppression.
struct Suppress {
    limit: i64,
    iou: f64,
    score: f64,
}

/// `boxes [D, 4]`, `scores [D]`, `labels [D]`, with a mask branch `masks [D, side, side]`, best first.
pub fn detect(ops: &mut OnnxWriter, net: &Rcnn, stage: StageOne<Edge>, image: [i64; 2]) -> Vec<(String, Edge)> {
    let (c, precision) = (net.config(), ops.precision);
    let levels = c.pooled_levels();
    let maps: Vec<Edge> = stage.pyramid[..levels.len()].iter().map(|m| ops.cast(m, ElementType::F32)).collect();
    let pooler = Pooler { maps: &maps, levels: &levels, ratio: c.roi.sampling_ratio as i64 };
    let regions = ops.scope("proposals", |ops| best_proposals(ops, net, &stage, image));
    let (pooled, order) = ops.scope("roi_align.boxes", |ops| pooler.pool(ops, &regions, c.box_head.pool as i64));
    let regions = gather(ops, &regions, &order);
    let pooled = ops.cast(&pooled, precision);
    let raw = net.box_stage(ops, &pooled);
    let (boxes, scores, places) = ops.scope("postprocess", |ops| best_pairs(ops, net, &raw.logits, &raw.deltas, &regions, image));
    let masks = mask_pool(net).and_then(|pool| {
        let (pooled, order) = ops.scope("roi_align.masks", |ops| pooler.pool(ops, &boxes, pool as i64));
        let pooled = ops.cast(&pooled, precision);
        Some((net.mask_stage(ops, &pooled)?, order))
    });
    let Some((logits, order)) = masks else {
        let (scores, labels) =
            ops.scope("postprocess.labels", |ops| of_outputs(ops, &scores, &places, classes(&net.decoder.labels)));
        return [("boxes", boxes), ("scores", scores), ("labels", labels)].map(|(name, e)| (name.to_string(), e)).to_vec();
    };
    ops.scope("postprocess.masks", |ops| {
        // Pooling went level by level; the order is the scores' again at the end.
        let [boxes, scores, places] = [boxes, scores, places].map(|e| gather(ops, &e, &order));
        let output = ops.with_scalar("Add", &places, 1.0);
        let masks = own_masks(ops, &logits, &output);
        let (scores, labels) = of_outputs(ops, &scores, &places, classes(&net.decoder.labels));
        let count = ops.graph.node("Shape", &[&scores], &[], vec![1], ElementType::I64);
        let settings = [("axis", Attribute::Int(-1)), ("largest", Attribute::Int(1)), ("sorted", Attribute::Int(1))];
        let names = ops.graph.raw_node("TopK", vec![scores.name.clone(), count.name], &settings, 2);
        let order = Edge { name: names[1].clone(), shape: vec![DYNAMIC], element: ElementType::I64 };
        let outputs = [("boxes", boxes), ("scores", scores), ("labels", labels), ("masks", masks)];
        outputs.map(|(name, e)| (name.to_string(), gather(ops, &e, &order))).to_vec()
    })
}

fn gather(ops: &mut OnnxWriter, x: &Edge, rows: &Edge) -> Edge {
    let mut shape = x.shape.clone();
    shape[0] = DYNAMIC;
    ops.op("Gather", &[x, rows], &[("axis", Attribute::Int(0))], shape)
}

/// Rows of `boxes [n, 4]` with `scores [n]` that are kept, best first; boxes are moved by `offset [n, 1]` first, so that groups do not meet.
fn suppress(ops: &mut OnnxWriter, boxes: &Edge, offset: &Edge, scores: &Edge, s: &Suppress) -> Edge {
    let moved = ops.broadcast("Add", boxes, offset);
    let moved = ops.unsqueeze(&moved, 0);
    let scores = ops.reshape(scores, &[1, 1, -1], vec![1, 1, DYNAMIC]);
    let limit = ops.graph.ints(&[s.limit]);
    let iou = ops.graph.constant(&Tensor::from_slice(&[s.iou as f32]), ElementType::F32);
    let least = ops.graph.constant(&Tensor::from_slice(&[s.score as f32]), ElementType::F32);
    let inputs = [&moved, &scores, &limit, &iou, &least].map(|e| e.name.clone()).to_vec();
    let name = ops.graph.raw_node("NonMaxSuppression", inputs, &[], 1).remove(0);
    let selected = Edge { name, shape: vec![DYNAMIC, 3], element: ElementType::I64 };
    let place = ops.slice(&selected, 1, 2, 3);
    ops.reshape(&place, &[-1], vec![DYNAMIC])
}

/// A distance that keeps boxes of an image apart.
fn apart(image: [i64; 2]) -> f64 {
    2.0 * image[0].max(image[1]) as f64
}

fn best_proposals(ops: &mut OnnxWriter, net: &Rcnn, stage: &StageOne<Edge>, image: [i64; 2]) -> Edge {
    let c = &net.config().rpn;
    let levels = proposals::by_level(ops, net, &stage.rpn, image);
    let offsets: Vec<f32> = levels
        .iter()
        .enumerate()
        .flat_map(|(i, l)| std::iter::repeat_n(i as f32 * apart(image) as f32, l.scores.shape[1] as usize))
        .collect();
    let (boxes, scores): (Vec<Edge>, Vec<Edge>) = levels.into_iter().map(|l| (l.boxes, l.scores)).unzip();
    let (boxes, scores) = (ops.concat(&boxes, 1), ops.concat(&scores, 1));
    let n = scores.shape[1];
    let boxes = ops.reshape(&boxes, &[-1, 4], vec![n, 4]);
    let offset = ops.graph.constant(&Tensor::from_slice(&offsets).view([-1, 1]), ElementType::F32);
    let settings = Suppress { limit: c.post_nms_top_n_test as i64, iou: c.nms_thresh, score: proposals::above(c.score_thresh) };
    let kept = suppress(ops, &boxes, &offset, &scores, &settings);
    gather(ops, &boxes, &kept)
}

/// Boxes, scores and head outputs (without the background) of what is found.
fn best_pairs(
    ops: &mut OnnxWriter,
    net: &Rcnn,
    logits: &Edge,
    deltas: &Edge,
    regions: &Edge,
    image: [i64; 2],
) -> (Edge, Edge, Edge) {
    let outputs = logits.shape[1];
    let classes = outputs - 1;
    let scores = class_scores(ops, logits);
    let deltas = ops.cast(deltas, ElementType::F32);
    let deltas = ops.reshape(&deltas, &[-1, outputs, 4], vec![DYNAMIC, outputs, 4]);
    let deltas = ops.slice(&deltas, 1, 1, outputs);
    let from = ops.unsqueeze(regions, 1);
    let weights = net.config().roi.bbox_reg_weights.map(f64::from);
    let boxes = decode_boxes(ops, &deltas, &from, weights, image);
    let large = large_enough(ops, &boxes, MIN_DETECTION);
    let large = ops.reshape(&large, &[-1, classes], scores.shape.clone());
    let scores = ops.mul(&scores, &large);
    let scores = ops.reshape(&scores, &[-1], vec![DYNAMIC]);
    // A number a pair: its class times the distance.
    let offsets: Vec<f32> = (0..classes).map(|i| i as f32 * apart(image) as f32).collect();
    let offsets = ops.graph.constant(&Tensor::from_slice(&offsets).view([1, -1, 1]), ElementType::F32);
    let moved = ops.broadcast("Add", &boxes, &offsets);
    let zero = ops.graph.constant(&Tensor::zeros([1, 1], (tch::Kind::Float, tch::Device::Cpu)), ElementType::F32);
    let [boxes, moved] = [boxes, moved].map(|b| ops.reshape(&b, &[-1, 4], vec![DYNAMIC, 4]));
    let p = &net.decoder.postprocess;
    let settings = Suppress { limit: p.max_detections as i64, iou: p.nms_threshold, score: p.score_threshold };
    let kept = suppress(ops, &moved, &zero, &scores, &settings);
    let region = ops.with_scalar("Div", &kept, classes as f64);
    let whole = ops.with_scalar("Mul", &region, classes as f64);
    let places = ops.broadcast("Sub", &kept, &whole);
    (gather(ops, &boxes, &kept), gather(ops, &scores, &kept), places)
}

/// RoIAlign level by level.
struct Pooler<'a> {
    maps: &'a [Edge],
    levels: &'a [u32],
    ratio: i64,
}

impl Pooler<'_> {
    /// Pools `boxes [R, 4]` to `[R, C, bins, bins]`, in another order, which comes back too.
    fn pool(&self, ops: &mut OnnxWriter, boxes: &Edge, bins: i64) -> (Edge, Edge) {
        let mut reached = reached(ops, boxes, self.levels);
        // Each level's own regions: those that reach it and not the next.
        let one = ops.slice(boxes, 1, 0, 1);
        let one = ops.with_scalar("Mul", &one, 0.0);
        reached.insert(0, ops.with_scalar("Add", &one, 1.0));
        let half = ops.graph.scalar(0.5, ElementType::F32);
        let (mut pooled, mut order) = (vec![], vec![]);
        for (i, (map, level)) in self.maps.iter().zip(self.levels).enumerate() {
            let own = match reached.get(i + 1) {
                Some(next) => ops.broadcast("Sub", &reached[i], next),
                None => reached[i].clone(),
            };
            let own = ops.reshape(&own, &[-1], vec![DYNAMIC]);
            let mut own = ops.broadcast("Greater", &own, &half);
            own.element = ElementType::Bool;
            let rows = ops.graph.node("NonZero", &[&own], &[], vec![1, DYNAMIC], ElementType::I64);
            let rows = ops.reshape(&rows, &[-1], vec![DYNAMIC]);
            let regions = gather(ops, boxes, &rows);
            let images = ops.with_scalar("Mul", &rows, 0.0);
            let settings = [
                ("mode", Attribute::Text("avg")),
                ("output_height", Attribute::Int(bins)),
                ("output_width", Attribute::Int(bins)),
                ("sampling_ratio", Attribute::Int(self.ratio)),
                ("spatial_scale", Attribute::Float(1.0 / (1u32 << level) as f32)),
                ("coordinate_transformation_mode", Attribute::Text("output_half_pixel")),
            ];
            let shape = vec![DYNAMIC, map.shape[1], bins, bins];
            pooled.push(ops.op("RoiAlign", &[map, &regions, &images], &settings, shape));
            order.push(rows);
        }
        let join = |ops: &mut OnnxWriter, parts: &[Edge]| {
            let mut shape = parts[0].shape.clone();
            shape[0] = DYNAMIC;
            ops.op("Concat", &parts.iter().collect::<Vec<_>>(), &[("axis", Attribute::Int(0))], shape)
        };
        (join(ops, &pooled), join(ops, &order))
    }
}
