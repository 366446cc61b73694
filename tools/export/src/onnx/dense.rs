//! Raw outputs of a dense detector to final detections, as graph nodes. RetinaNet and FCOS differ in what is ranked and in how boxes are decoded.
//!
//! Per level the best `pre_nms_top_k` (anchor, class) pairs; over all levels the best `candidates`; class-aware suppression; the best
//! `max_detections`. The reference (`repghost_heads`) keeps all pairs of all levels until suppression; both agree as long as no more
//! than `candidates` pairs pass the score threshold.

use repghost_backbone::ops::Ops;
use repghost_heads::anchors::AnchorSet;
use repghost_heads::{LabelMap, PostprocessConfig};
use tch::{Device, Tensor};

use super::classes::of_outputs;
use super::graph::{Attribute, Edge, ElementType};
use super::suppress::{suppress, Nms, Suppression, CANDIDATES, MAX_TOP_K};
use super::writer::OnnxWriter;

/// See [`DetectSpec::decode`].
pub type DecodeBoxes<'a> = dyn Fn(&mut OnnxWriter, &Edge, &Edge, [i64; 2]) -> Edge + 'a;

/// Settings of the post-processing.
pub struct DetectSpec<'a> {
    /// Which output is which class.
    pub labels: &'a LabelMap,
    /// Anchors of each level `[n_l, 4]`, corners in pixels.
    pub anchors: Vec<Tensor>,
    /// The operator that turns what is ranked (logits, say) into scores; none where it is scores.
    pub activation: Option<&'static str>,
    /// Boxes `[N, k, 4]` from outputs `[N, k, 4]` and their anchors, clipped to an image of `[height, width]`.
    pub decode: &'a DecodeBoxes<'a>,
    /// Height and width of the input.
    pub image: [i64; 2],
    /// Pairs kept per level.
    pub pre_nms_top_k: i64,
    /// Pairs that enter suppression.
    pub candidates: i64,
    /// Least score.
    pub score_threshold: f64,
    /// IoU above which a worse box of the same class goes.
    pub nms_threshold: f64,
    /// Detections per image.
    pub max_detections: i64,
    /// How boxes are suppressed.
    pub nms: Nms,
}

impl<'a> DetectSpec<'a> {
    /// A detector's settings for input of `image` (height, width), with scores ranked as they are; `anchors` are those of that size.
    pub fn new(
        labels: &'a LabelMap,
        p: &PostprocessConfig,
        anchors: &AnchorSet,
        decode: &'a DecodeBoxes<'a>,
        image: [i64; 2],
        nms: Nms,
    ) -> Self {
        let all = anchors.tensor(Device::Cpu);
        Self {
            labels,
            anchors: anchors.ranges().map(|r| all.narrow(0, r.start as i64, r.len() as i64)).collect(),
            activation: None,
            decode,
            image,
            pre_nms_top_k: p.pre_nms_top_k as i64,
            candidates: if nms == Nms::Onnx { MAX_TOP_K } else { CANDIDATES },
            score_threshold: p.score_threshold,
            nms_threshold: p.nms_threshold,
            max_detections: p.max_detections as i64,
            nms,
        }
    }
}

/// Candidates of all levels, sorted by score.
struct Candidates {
    boxes: Edge,
    scores: Edge,
    labels: Edge,
}

/// Detections as named outputs from `ranked [N, A, C]`, a number per class that grows with its score, and `deltas [N, A, 4]`.
///
/// With [`Nms::Plain`]: `boxes [N, D, 4]`, `scores [N, D]`, `labels [N, D]`, score 0 where there is no detection. With [`Nms::Onnx`]:
/// `boxes [R, 4]`, `scores [R]`, `labels [R]`, `image_indices [R]`.
pub fn detect(ops: &mut OnnxWriter, ranked: &Edge, deltas: &Edge, spec: &DetectSpec<'_>) -> Vec<(String, Edge)> {
    ops.scope("postprocess", |ops| {
        let found = candidates(ops, ranked, deltas, spec);
        match spec.nms {
            Nms::Plain { rounds } => plain(ops, &found, spec, rounds),
            Nms::Onnx => standard(ops, &found, spec),
        }
    })
}

fn candidates(ops: &mut OnnxWriter, ranked: &Edge, deltas: &Edge, spec: &DetectSpec<'_>) -> Candidates {
    let classes = ranked.shape[2];
    let ranked = ops.cast(ranked, ElementType::F32);
    let deltas = ops.cast(deltas, ElementType::F32);
    let n = ranked.shape[0];
    let (mut boxes, mut scores, mut labels) = (vec![], vec![], vec![]);
    let mut start = 0;
    for (level, anchors) in spec.anchors.iter().enumerate() {
        ops.graph.push_scope(&format!("level{level}"));
        let count = anchors.size()[0];
        let k = spec.pre_nms_top_k.min(count * classes).min(MAX_TOP_K);
        let part = ops.slice(&ranked, 1, start, start + count);
        let part = ops.reshape(&part, &[0, -1], vec![n, count * classes]);
        let (best, index) = ops.top_k(&part, k);
        let anchor = ops.with_scalar("Div", &index, classes as f64);
        let whole = ops.with_scalar("Mul", &anchor, classes as f64);
        let label = ops.broadcast("Sub", &index, &whole);
        let part = ops.slice(&deltas, 1, start, start + count);
        let picked = ops.pick_rows(&part, &anchor);
        let table = ops.graph.constant(anchors, ElementType::F32);
        let reference = ops.lookup(&table, &anchor);
        boxes.push((spec.decode)(ops, &picked, &reference, spec.image));
        scores.push(match spec.activation {
            Some(operator) => ops.op(operator, &[&best], &[], best.shape.clone()),
            None => best,
        });
        labels.push(ops.cast(&label, ElementType::F32));
        start += count;
        ops.graph.pop_scope();
    }
    let boxes = ops.concat(&boxes, 1);
    let scores = ops.concat(&scores, 1);
    let labels = ops.concat(&labels, 1);
    let m = spec.candidates.min(scores.shape[1]).min(MAX_TOP_K);
    let (scores, order) = ops.top_k(&scores, m);
    Candidates { boxes: ops.pick_rows(&boxes, &order), scores, labels: ops.pick(&labels, &order) }
}

fn plain(ops: &mut OnnxWriter, found: &Candidates, spec: &DetectSpec<'_>, rounds: usize) -> Vec<(String, Edge)> {
    let limits = Suppression { iou: spec.nms_threshold, score: spec.score_threshold, rounds };
    let kept = suppress(ops, &found.boxes, &found.scores, Some(&found.labels), limits);
    let d = spec.max_detections.min(kept.shape[1]);
    let (scores, order) = ops.top_k(&kept, d);
    let boxes = ops.pick_rows(&found.boxes, &order);
    let labels = ops.pick(&found.labels, &order);
    let labels = ops.cast(&labels, ElementType::I64);
    let (scores, labels) = of_outputs(ops, &scores, &labels, spec.labels.by_output());
    vec![("boxes".into(), boxes), ("scores".into(), scores), ("labels".into(), labels)]
}

fn standard(ops: &mut OnnxWriter, found: &Candidates, spec: &DetectSpec<'_>) -> Vec<(String, Edge)> {
    // One class for the operator; boxes of different classes are moved apart so that they never overlap.
    let apart = 2.0 * spec.image[0].max(spec.image[1]) as f64;
    let offset = ops.with_scalar("Mul", &found.labels, apart);
    let offset = ops.unsqueeze(&offset, 2);
    let moved = ops.broadcast("Add", &found.boxes, &offset);
    let scores = ops.unsqueeze(&found.scores, 1);
    let limit = ops.graph.ints(&[spec.max_detections]);
    let iou = ops.graph.constant(&Tensor::from_slice(&[spec.nms_threshold as f32]), ElementType::F32);
    let least = ops.graph.constant(&Tensor::from_slice(&[spec.score_threshold as f32]), ElementType::F32);
    let inputs = [&moved, &scores, &limit, &iou, &least].map(|e| e.name.clone()).to_vec();
    let rows = super::graph::DYNAMIC;
    let name = ops.graph.raw_node("NonMaxSuppression", inputs, &[], 1).remove(0);
    let selected = Edge { name, shape: vec![rows, 3], element: ElementType::I64 };
    let image = ops.slice(&selected, 1, 0, 1);
    let place = ops.slice(&selected, 1, 2, 3);
    let pair = ops.op("Concat", &[&image, &place], &[("axis", Attribute::Int(1))], vec![rows, 2]);
    let gather = |ops: &mut OnnxWriter, x: &Edge, shape: Vec<i64>| ops.op("GatherND", &[x, &pair], &[], shape);
    let boxes = gather(ops, &found.boxes, vec![rows, 4]);
    let scores = gather(ops, &found.scores, vec![rows]);
    let labels = gather(ops, &found.labels, vec![rows]);
    let labels = ops.cast(&labels, ElementType::I64);
    let (scores, labels) = of_outputs(ops, &scores, &labels, spec.labels.by_output());
    let images = ops.reshape(&image, &[-1], vec![rows]);
    vec![("boxes".into(), boxes), ("scores".into(), scores), ("labels".into(), labels), ("image_indices".into(), images)]
}
