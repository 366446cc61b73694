//! RetinaNet's training targets and losses.
//!
//! Each image's two losses are divided by its number of foreground anchors (at least 1) and averaged over the batch, as in
//! torchvision. An image without objects is all background: it teaches silence and has no box loss.

use rayon::prelude::*;
use tch::Tensor;

use super::head::RawOutputs;
use crate::anchors::AnchorSet;
use crate::box_coder::{BoxCoder, Corners};
use crate::boxes::{from_corners, to_corners};
use crate::losses::{BoxLoss, ClassTarget, Focal};
use crate::matcher::{Match, Matcher};
use crate::types::{Losses, Target};

/// Plain data of one image's objects.
struct Objects {
    boxes: Vec<Corners>,
    labels: Vec<i64>,
}

/// What the anchors of one image should learn.
struct Assigned {
    classes: Vec<ClassTarget>,
    /// Foreground anchors with their object's box, by anchor.
    foreground: Vec<(usize, Corners)>,
}

/// The losses `classification` and `bbox_regression`.
///
/// # Panics
/// When there are not as many targets as images, or labels are not class indices below the number of logits.
pub fn losses(
    raw: &RawOutputs<Tensor>,
    anchors: &AnchorSet,
    targets: &[Target],
    matcher: &Matcher,
    focal: &Focal,
    box_loss: &BoxLoss,
) -> Losses {
    let objects: Vec<Objects> = targets.iter().map(Objects::new).collect();
    let assigned: Vec<Assigned> = objects.par_iter().map(|o| o.assign(anchors, matcher)).collect();
    let scales: Vec<f64> = assigned.iter().map(|a| 1.0 / (a.foreground.len().max(1) * targets.len()) as f64).collect();

    let device = raw.deltas.device();
    let (mut rows, mut starts, mut truth, mut weight) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, (image, scale)) in assigned.iter().zip(&scales).enumerate() {
        for (anchor, object) in &image.foreground {
            rows.push((i * anchors.boxes.len() + anchor) as i64);
            starts.push(anchors.boxes[*anchor]);
            truth.push(*object);
            weight.push(*scale);
        }
    }
    let kind = raw.deltas.kind();
    let deltas = raw.deltas.reshape([-1, 4]).index_select(0, &Tensor::from_slice(&rows).to_device(device));
    let on_device = |boxes: &[Corners]| from_corners(boxes).to_device(device).to_kind(kind);
    let weight = Tensor::from_slice(&weight).to_kind(kind).to_device(device);
    let regression = box_loss.loss(&BoxCoder::UNIT, &deltas, &on_device(&starts), &on_device(&truth), &weight);

    let classes: Vec<Vec<ClassTarget>> = assigned.into_iter().map(|a| a.classes).collect();
    vec![("classification", focal.loss(&raw.logits, &classes, &scales)), ("bbox_regression", regression)]
}

impl Objects {
    fn new(target: &Target) -> Self {
        let labels = Vec::<i64>::try_from(target.labels.reshape(-1)).expect("labels are one-dimensional i64");
        let boxes = to_corners(&target.boxes);
        assert_eq!(boxes.len(), labels.len(), "one label a box");
        assert!(labels.iter().all(|l| (0..=i64::from(u32::MAX)).contains(l)), "labels count from 0: {labels:?}");
        Self { boxes, labels }
    }

    fn assign(&self, anchors: &AnchorSet, matcher: &Matcher) -> Assigned {
        let matches = matcher.assign(&self.boxes, &anchors.boxes);
        let mut foreground = Vec::new();
        let class = |(anchor, found): (usize, &Match)| match *found {
            Match::Background => ClassTarget::Background,
            Match::Ignored => ClassTarget::Ignored,
            Match::Object(object) => {
                foreground.push((anchor, self.boxes[object as usize]));
                ClassTarget::Class(self.labels[object as usize] as u32)
            }
        };
        let classes = matches.iter().enumerate().map(class).collect();
        Assigned { classes, foreground }
    }
}
