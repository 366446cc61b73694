//! From the first stage's outputs to proposals: the best anchors of each level, moved, cut to the image, and thinned by NMS.
//!
//! Gradients do not flow through proposals, so all is plain Rust, and only the few best anchors are decoded.

use rayon::prelude::*;
use tch::Tensor;

use super::config::RpnConfig;
use super::rpn::RpnOutputs;
use crate::anchors::AnchorSet;
use crate::box_coder::{BoxCoder, Corners};
use crate::boxes::clip;
use crate::host::{f32_slice, to_cpu_f32};
use crate::nms::batched_nms;

/// Sides shorter than this (pixels) make no proposal.
const MIN_SIZE: f32 = 1e-3;

/// Proposals of one image, best first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Proposals {
    /// Corners in pixels of the (resized) image.
    pub boxes: Vec<Corners>,
    /// Objectness between 0 and 1.
    pub scores: Vec<f32>,
}

/// Proposals of a batch of images of true `sizes` (height, width).
pub fn propose(
    raw: &RpnOutputs<Tensor>,
    anchors: &AnchorSet,
    sizes: &[[i64; 2]],
    config: &RpnConfig,
    train: bool,
) -> Vec<Proposals> {
    let n = anchors.boxes.len();
    let (logits, deltas) = (to_cpu_f32(&raw.logits), to_cpu_f32(&raw.deltas));
    let (logits, deltas) = (f32_slice(&logits), f32_slice(&deltas));
    assert!(logits.len() == n * sizes.len() && deltas.len() == 4 * n * sizes.len(), "{n} anchors do not fit the outputs");
    let one = |(i, size): (usize, &[i64; 2])| {
        propose_image(&logits[i * n..(i + 1) * n], &deltas[i * n * 4..(i + 1) * n * 4], anchors, *size, config, train)
    };
    sizes.par_iter().enumerate().map(one).collect()
}

/// Proposals of one image of `size` (height, width), from slices: logits `[A]`, deltas `[A, 4]`.
pub fn propose_image(
    logits: &[f32],
    deltas: &[f32],
    anchors: &AnchorSet,
    size: [i64; 2],
    config: &RpnConfig,
    train: bool,
) -> Proposals {
    let (pre, post) = config.top_n(train);
    let (mut boxes, mut scores, mut levels) = (Vec::new(), Vec::new(), Vec::new());
    for (level, range) in anchors.ranges().enumerate() {
        for anchor in best(&logits[range.clone()], pre).into_iter().map(|i| range.start + i) {
            let d = &deltas[anchor * 4..anchor * 4 + 4];
            let moved = clip(BoxCoder::UNIT.decode([d[0], d[1], d[2], d[3]], anchors.boxes[anchor]), size);
            let score = sigmoid(logits[anchor]);
            let large = moved[2] - moved[0] >= MIN_SIZE && moved[3] - moved[1] >= MIN_SIZE;
            if large && score >= config.score_thresh as f32 {
                boxes.push(moved);
                scores.push(score);
                levels.push(level as i64);
            }
        }
    }
    let keep = batched_nms(&boxes, &scores, &levels, config.nms_thresh as f32, post);
    Proposals { boxes: keep.iter().map(|i| boxes[*i]).collect(), scores: keep.iter().map(|i| scores[*i]).collect() }
}

/// Indices of the `k` greatest, greatest first; equals in their order.
fn best(values: &[f32], k: usize) -> Vec<usize> {
    let order = |a: &usize, b: &usize| values[*b].total_cmp(&values[*a]).then(a.cmp(b));
    let mut index: Vec<usize> = (0..values.len()).collect();
    if k < index.len() {
        index.select_nth_unstable_by(k, order);
        index.truncate(k);
    }
    index.sort_unstable_by(order);
    index
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
