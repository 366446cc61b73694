//! From the first stage's outputs to proposals: the best anchors of each level, moved, cut to the image, and thinned by NMS.
//!
//! Gradients do not flow through proposals, so all is plain Rust, and only the few best anchors are decoded.

use std::ops::Range;

use rayon::prelude::*;
use tch::{Device, Tensor};

use super::config::RpnConfig;
use super::rpn::RpnOutputs;
use crate::anchors::AnchorSet;
use crate::box_coder::{BoxCoder, Corners};
use crate::boxes::clip;
use crate::host::{f32_slice, to_cpu_f32};
use crate::nms::batched_nms;
use crate::picked::{pick, Picked};

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
///
/// # Panics
/// Where there are not as many sizes as images, or the outputs are those of other anchors.
pub fn propose(
    raw: &RpnOutputs<Tensor>,
    anchors: &AnchorSet,
    sizes: &[[i64; 2]],
    config: &RpnConfig,
    train: bool,
) -> Vec<Proposals> {
    assert_eq!(raw.logits.size()[0], sizes.len() as i64, "one size per image");
    let (pre, _) = config.top_n(train);
    if raw.logits.device() != Device::Cpu {
        let picked = pick(&raw.logits, &raw.deltas, anchors.ranges(), pre);
        return picked.par_iter().zip(sizes).map(|(best, size)| thin(best, anchors, *size, config, train)).collect();
    }
    let n = anchors.boxes.len();
    let (logits, deltas) = (to_cpu_f32(&raw.logits), to_cpu_f32(&raw.deltas));
    let (logits, deltas) = (f32_slice(&logits), f32_slice(&deltas));
    assert!(logits.len() == n * sizes.len() && deltas.len() == 4 * n * sizes.len(), "{n} anchors do not fit the outputs");
    let one = |(i, size): (usize, &[i64; 2])| {
        let best = search(&logits[i * n..(i + 1) * n], &deltas[i * n * 4..(i + 1) * n * 4], anchors, pre);
        thin(&best, anchors, *size, config, train)
    };
    sizes.par_iter().enumerate().map(one).collect()
}

/// The best anchors of each level of one image, from slices: logits `[A]`, deltas `[A, 4]`.
fn search(logits: &[f32], deltas: &[f32], anchors: &AnchorSet, pre: usize) -> Vec<Picked> {
    let level = |range: Range<usize>| {
        best(&logits[range.clone()], pre).into_iter().map(move |i| {
            let (anchor, d) = (range.start + i, &deltas[(range.start + i) * 4..][..4]);
            Picked { value: logits[anchor], anchor, class: 0, numbers: [d[0], d[1], d[2], d[3]] }
        })
    };
    anchors.ranges().flat_map(level).collect()
}

/// Proposals of one image of `size` (height, width) from its best anchors, level by level.
fn thin(best: &[Picked], anchors: &AnchorSet, size: [i64; 2], config: &RpnConfig, train: bool) -> Proposals {
    let (_, post) = config.top_n(train);
    let ends: Vec<usize> = anchors.ranges().map(|range| range.end).collect();
    let (mut boxes, mut scores, mut levels) = (Vec::new(), Vec::new(), Vec::new());
    for picked in best {
        let moved = clip(BoxCoder::UNIT.decode(picked.numbers, anchors.boxes[picked.anchor]), size);
        let score = sigmoid(picked.value);
        let large = moved[2] - moved[0] >= MIN_SIZE && moved[3] - moved[1] >= MIN_SIZE;
        if large && score >= config.score_thresh as f32 {
            boxes.push(moved);
            scores.push(score);
            levels.push(ends.partition_point(|end| *end <= picked.anchor) as i64);
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

#[cfg(test)]
mod tests {
    use repghost_backbone::synthetic::input;

    use super::*;
    use crate::fpn::FpnConfig;
    use crate::retinanet::{RetinaNetConfig, RetinaNetDecoder};

    /// What is picked on other devices equals the search on the host, also where many logits are equal, as in padding.
    #[test]
    fn the_way_of_other_devices_finds_the_same() {
        let decoder = RetinaNetDecoder::new(&FpnConfig::default(), &RetinaNetConfig::default(), 1).unwrap();
        let anchors = decoder.anchors.anchors([64, 96]);
        let a = anchors.boxes.len() as i64;
        let (logits, deltas) = (input("logits", &[2, a, 1]).clamp(-0.5, 0.5), input("deltas", &[2, a, 4]));
        let picked = pick(&logits, &deltas, anchors.ranges(), 40);
        for (i, picked) in picked.iter().enumerate() {
            let [logits, deltas] = [&logits, &deltas].map(|t| to_cpu_f32(&t.get(i as i64)));
            assert_eq!(*picked, search(f32_slice(&logits), f32_slice(&deltas), &anchors, 40));
        }
    }
}
