//! From raw outputs to detections.
//!
//! On each pyramid level the scores above a threshold, at most the best thousand, survive; their boxes are decoded and cut to the
//! image; class-wise NMS over all levels leaves the detections. Most scores are far below the threshold, so they are compared as
//! logits, and the sigmoid, the decoding and the clipping are done for survivors only.
//!
//! [`detect_image`] works on plain slices: any runtime that has computed the raw outputs can use it.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::head::RawOutputs;
use crate::anchors::AnchorSet;
use crate::box_coder::{BoxCoder, Corners};
use crate::boxes::{clip, from_corners};
use crate::classes::ClassLayout;
use crate::nms::batched_nms;
use crate::slices::{plain, with_f32};
use crate::types::Detections;

/// How raw outputs become detections.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostprocessConfig {
    /// Scores must be above this.
    pub score_threshold: f64,
    /// Boxes of one class that overlap by more than this IoU exclude each other.
    pub nms_threshold: f64,
    /// Candidates on each pyramid level before NMS.
    pub pre_nms_top_k: usize,
    /// Detections in an image.
    pub max_detections: usize,
}

impl Default for PostprocessConfig {
    fn default() -> Self {
        Self { score_threshold: 0.05, nms_threshold: 0.5, pre_nms_top_k: 1000, max_detections: 100 }
    }
}

/// Detections of one image as plain data, best first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Corners in pixels of the (resized) image.
    pub boxes: Vec<Corners>,
    /// Scores.
    pub scores: Vec<f32>,
    /// Outputs of the head, or after [`Found::of_classes`] classes from 0.
    pub labels: Vec<i64>,
}

impl Found {
    /// Labels as classes. Outputs that stand for nothing have competed as in torchvision, which reports them; there is no class to report
    /// them as here.
    pub fn of_classes(self, layout: &ClassLayout) -> Self {
        let mut kept = Self::default();
        for ((b, score), output) in self.boxes.into_iter().zip(self.scores).zip(self.labels) {
            if let Some(class) = layout.class(output as usize) {
                kept.boxes.push(b);
                kept.scores.push(score);
                kept.labels.push(class);
            }
        }
        kept
    }

    /// As tensors.
    pub fn into_detections(self) -> Detections {
        Detections {
            boxes: from_corners(&self.boxes),
            scores: Tensor::from_slice(&self.scores),
            labels: Tensor::from_slice(&self.labels),
            masks: None,
        }
    }
}

/// A score that may become a detection.
struct Candidate {
    logit: f32,
    /// Index in the whole anchor set.
    anchor: usize,
    class: usize,
    deltas: [f32; 4],
}

/// Detections of one image from slices: logits `[A, C]`, deltas `[A, 4]`, `size` (height, width) of the image within its padding.
///
/// # Panics
/// When the slices do not fit the anchors.
pub fn detect_image(
    logits: &[f32],
    deltas: &[f32],
    classes: usize,
    anchors: &AnchorSet,
    size: [i64; 2],
    config: &PostprocessConfig,
) -> Found {
    let n = anchors.boxes.len();
    assert!(logits.len() == n * classes && deltas.len() == n * 4, "{n} anchors and {classes} classes do not fit the outputs");
    let threshold = logit_below(config.score_threshold);
    let mut candidates = Vec::new();
    for range in anchors.ranges() {
        let mut best: Vec<(f32, usize)> = above(&logits[range.start * classes..range.end * classes], threshold);
        let order = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if best.len() > config.pre_nms_top_k {
            best.select_nth_unstable_by(config.pre_nms_top_k, order);
            best.truncate(config.pre_nms_top_k);
        }
        best.sort_unstable_by(order);
        candidates.extend(best.into_iter().map(|(logit, index)| {
            let anchor = range.start + index / classes;
            let d = &deltas[anchor * 4..anchor * 4 + 4];
            Candidate { logit, anchor, class: index % classes, deltas: [d[0], d[1], d[2], d[3]] }
        }));
    }
    finish(&candidates, anchors, size, config)
}

/// What is found in a batch. On the CPU the images are searched in parallel, elsewhere the device finds the best of each level and only
/// those are fetched.
pub fn detect(raw: &RawOutputs<Tensor>, anchors: &AnchorSet, sizes: &[[i64; 2]], config: &PostprocessConfig) -> Vec<Found> {
    if raw.logits.device() == Device::Cpu {
        let classes = raw.logits.size()[2] as usize;
        let n = anchors.boxes.len();
        let (logits, deltas) = (plain(&raw.logits), plain(&raw.deltas));
        with_f32(&logits, |logits| {
            with_f32(&deltas, |deltas| {
                let images = logits.par_chunks((n * classes).max(1)).zip(deltas.par_chunks((n * 4).max(1))).zip(sizes);
                images.map(|((logits, deltas), size)| detect_image(logits, deltas, classes, anchors, *size, config)).collect()
            })
        })
    } else {
        let candidates = (0..sizes.len()).map(|i| fetch(raw, i as i64, anchors, config));
        candidates.zip(sizes).map(|(candidates, size)| finish(&candidates, anchors, *size, config)).collect()
    }
}

/// The best candidates of each level of image `i`, picked on the outputs' device.
fn fetch(raw: &RawOutputs<Tensor>, i: i64, anchors: &AnchorSet, config: &PostprocessConfig) -> Vec<Candidate> {
    let (logits, deltas) = (raw.logits.select(0, i).to_kind(Kind::Float), raw.deltas.select(0, i));
    let classes = logits.size()[1];
    let threshold = logit_below(config.score_threshold);
    let mut candidates = Vec::new();
    for range in anchors.ranges() {
        let level = logits.narrow(0, range.start as i64, range.len() as i64).reshape(-1);
        let k = level.numel().min(config.pre_nms_top_k) as i64;
        let (values, indices) = level.topk(k, 0, true, true);
        let rows = indices.divide_scalar_mode(classes, "floor") + range.start as i64;
        let deltas = plain(&deltas.index_select(0, &rows));
        let indices = Vec::<i64>::try_from(indices).unwrap_or_default();
        with_f32(&plain(&values), |values| {
            with_f32(&deltas, |deltas| {
                let rows = values.iter().zip(&indices).zip(deltas.chunks_exact(4)).take_while(|((v, _), _)| **v > threshold);
                candidates.extend(rows.map(|((&logit, &index), d)| Candidate {
                    logit,
                    anchor: range.start + (index / classes) as usize,
                    class: (index % classes) as usize,
                    deltas: [d[0], d[1], d[2], d[3]],
                }));
            })
        });
    }
    candidates
}

fn finish(candidates: &[Candidate], anchors: &AnchorSet, size: [i64; 2], config: &PostprocessConfig) -> Found {
    let threshold = config.score_threshold as f32;
    let mut all = Found::default();
    for c in candidates {
        let score = 1.0 / (1.0 + (-c.logit).exp());
        if score > threshold {
            all.boxes.push(clip(BoxCoder::UNIT.decode(c.deltas, anchors.boxes[c.anchor]), size));
            all.scores.push(score);
            all.labels.push(c.class as i64);
        }
    }
    let keep = batched_nms(&all.boxes, &all.scores, &all.labels, config.nms_threshold as f32, config.max_detections);
    Found {
        boxes: keep.iter().map(|&i| all.boxes[i]).collect(),
        scores: keep.iter().map(|&i| all.scores[i]).collect(),
        labels: keep.iter().map(|&i| all.labels[i]).collect(),
    }
}

/// A logit a little below that of `score`: what is not above it cannot pass, what is above it is tested exactly later.
fn logit_below(score: f64) -> f32 {
    const MARGIN: f64 = 1e-3;
    if score <= 0.0 {
        return f32::NEG_INFINITY;
    }
    ((score / (1.0 - score).max(f64::MIN_POSITIVE)).ln() - MARGIN) as f32
}

/// Values above a threshold with their indices.
fn above(values: &[f32], threshold: f32) -> Vec<(f32, usize)> {
    /// Values looked at together; nearly always none passes.
    const BLOCK: usize = 64;
    let mut found = Vec::new();
    for (b, block) in values.chunks(BLOCK).enumerate() {
        if block.iter().fold(false, |any, v| any | (*v > threshold)) {
            let hits = block.iter().enumerate().filter(|(_, v)| **v > threshold);
            found.extend(hits.map(|(i, v)| (*v, b * BLOCK + i)));
        }
    }
    found
}
