//! The losses (torchvision's names): objectness and boxes of the first stage, classes, boxes and masks of the second.

use tch::{Device, Kind, Reduction, Tensor};

use super::heads::BoxOutputs;
use super::rpn::RpnOutputs;
use super::targets::{AnchorSamples, RoiSamples};
use crate::host::upload;

/// Where the smooth L1 loss of boxes turns from squared to absolute.
const BETA: f64 = 1.0 / 9.0;

/// `loss_objectness` and `loss_rpn_box_reg`: means over the sampled anchors of the batch.
pub(super) fn rpn_losses(raw: &RpnOutputs<Tensor>, samples: &[AnchorSamples]) -> (Tensor, Tensor) {
    let anchors = raw.logits.size()[1] as usize;
    let device = raw.logits.device();
    let (mut positive, mut rows, mut deltas) = (Vec::new(), Vec::new(), Vec::new());
    for (i, image) in samples.iter().enumerate() {
        for (anchor, target) in &image.positive {
            positive.push((i * anchors + anchor) as i64);
            deltas.push(*target);
        }
    }
    rows.extend(&positive);
    rows.extend(samples.iter().enumerate().flat_map(|(i, s)| s.negative.iter().map(move |a| (i * anchors + a) as i64)));
    if rows.is_empty() {
        return (nothing(&raw.logits), nothing(&raw.deltas));
    }
    let labels: Vec<f32> = (0..rows.len()).map(|i| if i < positive.len() { 1.0 } else { 0.0 }).collect();
    let logits = raw.logits.reshape([-1]).index_select(0, &index(&rows, device)).to_kind(Kind::Float);
    let labels = upload(&Tensor::from_slice(&labels), device);
    let objectness = logits.binary_cross_entropy_with_logits(&labels, None::<Tensor>, None::<Tensor>, Reduction::Mean);
    let predicted = raw.deltas.reshape([-1, 4]).index_select(0, &index(&positive, device)).to_kind(Kind::Float);
    (objectness, box_loss(&predicted, &deltas, rows.len()))
}

/// `loss_classifier` and `loss_box_reg`: means over the sampled regions of the batch.
pub(super) fn box_losses(raw: &BoxOutputs<Tensor>, samples: &[RoiSamples]) -> (Tensor, Tensor) {
    let device = raw.logits.device();
    let outputs = raw.logits.size()[1];
    let (mut classes, mut rows, mut deltas) = (Vec::new(), Vec::new(), Vec::new());
    for image in samples {
        for (row, _, target) in &image.positive {
            rows.push((classes.len() + row) as i64 * outputs + image.outputs[*row]);
            deltas.push(*target);
        }
        classes.extend(&image.outputs);
    }
    if classes.is_empty() {
        return (nothing(&raw.logits), nothing(&raw.deltas));
    }
    let logits = raw.logits.to_kind(Kind::Float);
    let classifier = logits.cross_entropy_for_logits(&index(&classes, device));
    let predicted = raw.deltas.reshape([-1, 4]).index_select(0, &index(&rows, device)).to_kind(Kind::Float);
    (classifier, box_loss(&predicted, &deltas, classes.len()))
}

/// `loss_mask`: mean over the pixels of all foreground masks; logits and targets `[P, side, side]`, on one device.
pub(super) fn mask_loss(logits: &Tensor, targets: &Tensor) -> Tensor {
    if targets.numel() == 0 {
        return nothing(logits);
    }
    logits.to_kind(Kind::Float).binary_cross_entropy_with_logits(targets, None::<Tensor>, None::<Tensor>, Reduction::Mean)
}

fn box_loss(predicted: &Tensor, targets: &[[f32; 4]], samples: usize) -> Tensor {
    let targets = upload(&Tensor::from_slice(targets.as_flattened()).view([-1, 4]), predicted.device());
    predicted.smooth_l1_loss(&targets, Reduction::Sum, BETA) / samples as f64
}

/// A loss of zero that still belongs to the graph, so that its parameters get gradients of zero.
fn nothing(x: &Tensor) -> Tensor {
    x.to_kind(Kind::Float).sum(Kind::Float) * 0.0
}

fn index(rows: &[i64], device: Device) -> Tensor {
    upload(&Tensor::from_slice(rows), device)
}
