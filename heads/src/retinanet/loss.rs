//! RetinaNet's training targets and losses.
//!
//! Each image's two losses are divided by its number of foreground anchors (at least 1) and averaged over the batch, as in
//! torchvision. In an image without objects all anchors are background; it contributes no box loss.

use rayon::prelude::*;
use tch::Tensor;

use super::config::RetinaNetConfig;
use super::head::RawOutputs;
use crate::anchors::AnchorSet;
use crate::box_coder::{BoxCoder, Corners};
use crate::boxes::from_corners;
use crate::host::upload;
use crate::label_map::Objects;
use crate::losses::{at_least_f32, BoxPairs, ClassTarget};
use crate::matcher::{Match, Matcher};
use crate::types::Losses;

/// What the anchors of one image are trained to predict.
struct Assigned {
    classes: Vec<ClassTarget>,
    /// Foreground anchors with their object's box, by anchor.
    foreground: Vec<(usize, Corners)>,
}

/// The losses `classification` and `bbox_regression`.
pub(super) fn losses(raw: &RawOutputs<Tensor>, anchors: &AnchorSet, objects: &[Objects<'_>], config: &RetinaNetConfig) -> Losses {
    let matcher = config.matcher();
    let assigned: Vec<Assigned> = objects.par_iter().map(|o| assign(o, anchors, &matcher)).collect();
    let scales: Vec<f64> = assigned.iter().map(|a| 1.0 / (a.foreground.len().max(1) * objects.len()) as f64).collect();

    let device = raw.deltas.device();
    let (mut rows, mut starts, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, (image, scale)) in assigned.iter().zip(&scales).enumerate() {
        for (anchor, object) in &image.foreground {
            rows.push((i * anchors.boxes.len() + anchor) as i64);
            starts.push(anchors.boxes[*anchor]);
            targets.push(*object);
            weights.push(*scale);
        }
    }
    let deltas = at_least_f32(&raw.deltas.reshape([-1, 4]).index_select(0, &upload(&Tensor::from_slice(&rows), device)));
    let kind = deltas.kind();
    let boxes = |boxes: &[Corners]| upload(&from_corners(boxes).to_kind(kind), device);
    let (starts, targets) = (boxes(&starts), boxes(&targets));
    let weights = upload(&Tensor::from_slice(&weights).to_kind(kind), device);
    let pairs = BoxPairs { deltas: &deltas, anchors: &starts, targets: &targets, weights: &weights };
    let mut regression = config.box_loss.loss(&BoxCoder::UNIT, &pairs, config.smooth_l1_beta);
    if config.box_loss_weight != 1.0 {
        regression *= config.box_loss_weight;
    }

    let classes: Vec<Vec<ClassTarget>> = assigned.into_iter().map(|a| a.classes).collect();
    let classification = config.focal().loss(&raw.logits, &classes, &scales);
    [("classification", classification), ("bbox_regression", regression)].into()
}

fn assign(objects: &Objects<'_>, anchors: &AnchorSet, matcher: &Matcher) -> Assigned {
    let matches = matcher.assign(objects.boxes, &anchors.boxes);
    let mut foreground = Vec::new();
    let class = |(anchor, found): (usize, &Match)| match *found {
        Match::Background => ClassTarget::Background,
        Match::Ignored => ClassTarget::Ignored,
        Match::Object(object) => {
            foreground.push((anchor, objects.boxes[object as usize]));
            ClassTarget::Class(objects.outputs[object as usize] as u32)
        }
    };
    let classes = matches.iter().enumerate().map(class).collect();
    Assigned { classes, foreground }
}
