//! From the second stage's outputs to detections: a box for every class of every proposal, thinned by class-wise NMS.

use rayon::prelude::*;
use tch::{Kind, Tensor};

use super::heads::BoxOutputs;
use super::proposals::flat;
use crate::box_coder::{BoxCoder, Corners};
use crate::boxes::clip;
use crate::classes::ClassLayout;
use crate::nms::batched_nms;

/// Sides shorter than this (pixels) make no detection.
const MIN_SIZE: f32 = 1e-2;

/// What decides which boxes stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Scores must be above this.
    pub score: f32,
    /// Boxes of one class that overlap by more than this IoU exclude each other.
    pub iou: f32,
    /// Detections in an image.
    pub count: usize,
}

/// Boxes found in one image, best first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundBoxes {
    /// Corners in pixels of the (resized) image.
    pub boxes: Vec<Corners>,
    /// Scores.
    pub scores: Vec<f32>,
    /// Output of the head (background excluded).
    pub outputs: Vec<i64>,
}

/// Detections of a batch; `proposals` and `sizes` (height, width) have an entry an image, and the outputs' rows are the images'
/// proposals one after another.
pub fn find_boxes(
    raw: &BoxOutputs<Tensor>,
    proposals: &[Vec<Corners>],
    sizes: &[[i64; 2]],
    layout: &ClassLayout,
    coder: &BoxCoder,
    limits: Limits,
) -> Vec<FoundBoxes> {
    let outputs = layout.outputs() as usize;
    let scores = flat(&raw.logits.softmax(-1, Kind::Float));
    let deltas = flat(&raw.deltas);
    let starts: Vec<usize> = proposals.iter().scan(0, |end, p| Some(std::mem::replace(end, *end + p.len()))).collect();
    let images = proposals.par_iter().zip(&starts).zip(sizes);
    images
        .map(|((proposals, start), size)| {
            let (mut boxes, mut kept_scores, mut classes) = (Vec::new(), Vec::new(), Vec::new());
            for (i, proposal) in proposals.iter().enumerate() {
                let row = (start + i) * outputs;
                let candidates = scores[row..row + outputs].iter().enumerate().skip(1);
                for (output, score) in candidates.filter(|(_, s)| **s > limits.score) {
                    let d = &deltas[(row + output) * 4..(row + output + 1) * 4];
                    let moved = clip(coder.decode([d[0], d[1], d[2], d[3]], *proposal), *size);
                    if moved[2] - moved[0] >= MIN_SIZE && moved[3] - moved[1] >= MIN_SIZE {
                        boxes.push(moved);
                        kept_scores.push(*score);
                        classes.push(output as i64);
                    }
                }
            }
            let mut keep = batched_nms(&boxes, &kept_scores, &classes, limits.iou, limits.count);
            // Outputs that stand for nothing compete as in torchvision, which reports them; there is no class to report them as here.
            keep.retain(|i| layout.class(classes[*i] as usize).is_some());
            FoundBoxes {
                boxes: keep.iter().map(|i| boxes[*i]).collect(),
                scores: keep.iter().map(|i| kept_scores[*i]).collect(),
                outputs: keep.iter().map(|i| classes[*i]).collect(),
            }
        })
        .collect()
}
