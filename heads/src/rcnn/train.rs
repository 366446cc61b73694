//! One training step of both stages: anchors are sampled for the first, proposals for the second.

use rayon::prelude::*;
use repghost_backbone::{sync_norm, Eager, Ops, Tree};
use tch::{Kind, Tensor};

use super::chunked_loss::chunked_loss;
use super::heads::MaskHead;
use super::losses;
use super::mask_targets::{mask_targets, Wanted};
use super::net::{Rcnn, StageOne};
use super::sampler::BalancedSampler;
use super::targets::{sample_anchors, sample_rois, RoiSamples};
use crate::box_coder::Corners;
use crate::host::upload;
use crate::types::{ImageBatch, Losses, Target};

/// Regions that pass the mask head together in training. Each holds about 2.5 MB there at 256 channels.
const REGIONS_AT_ONCE: i64 = 32;
/// The same on a card, which wants wide kernels: 2.5 GB.
const REGIONS_AT_ONCE_ON_CARDS: i64 = 1024;

/// The losses `loss_objectness`, `loss_rpn_box_reg`, `loss_classifier`, `loss_box_reg` and, with a mask branch, `loss_mask`. Objects of images
/// without masks are left out of the last one.
///
/// # Panics
/// When there are not as many targets as images, or labels are not class indices of this detector.
pub(super) fn losses(net: &Rcnn, ops: &mut Eager, images: &ImageBatch, targets: &[Target]) -> Losses {
    assert_eq!(images.pixels.size()[0], targets.len() as i64, "one target per image");
    let (draw, first) = (net.samples.next(), net.samples.first_image());
    let (rpn, roi) = (&net.config.rpn, &net.config.roi);
    let objects: Vec<_> = targets.iter().map(|t| net.decoder.labels.objects(t)).collect();

    let StageOne { pyramid, rpn: raw } = net.stage_one(ops, &images.pixels);
    let anchors = net.anchors(images.padded_size());
    let sampler = BalancedSampler { total: rpn.batch_size_per_image, positive: rpn.positive_fraction };
    let matcher = rpn.matcher();
    let sampled: Vec<_> =
        objects.par_iter().enumerate().map(|(i, o)| sample_anchors(o, &anchors, &matcher, sampler, draw, first + i)).collect();
    let anchors_in_loss = sampled.iter().map(|s| s.positive.len() + s.negative.len()).sum();
    let (objectness, rpn_box) = losses::rpn_losses(&raw, &sampled);

    let proposals = net.decoder.propose(&raw, images.padded_size(), &images.sizes, true);
    let sampler = BalancedSampler { total: roi.batch_size_per_image, positive: roi.positive_fraction };
    let (matcher, coder) = (roi.matcher(), net.decoder.coder);
    let sampled: Vec<RoiSamples> = proposals
        .into_par_iter()
        .zip(&objects)
        .enumerate()
        .map(|(i, (p, o))| sample_rois(o, p.boxes, &matcher, &coder, sampler, draw, first + i))
        .collect();
    let regions = sampled.iter().map(|s| s.outputs.len()).sum();
    let mut samples = vec![anchors_in_loss, anchors_in_loss, regions, regions];
    let (classifier, box_reg) = box_losses(net, ops, &pyramid, &sampled);
    let mut all = vec![
        ("loss_objectness", objectness),
        ("loss_rpn_box_reg", rpn_box),
        ("loss_classifier", classifier),
        ("loss_box_reg", box_reg),
    ];
    if let Some(head) = &net.mask_head {
        let (loss, masks) = mask_loss(net, head, ops, &pyramid, &sampled, images, targets);
        all.push(("loss_mask", loss));
        samples.push(masks);
    }
    Losses::from(all).over_samples(&samples)
}

fn box_losses(net: &Rcnn, ops: &mut Eager, pyramid: &[Tensor], samples: &[RoiSamples]) -> (Tensor, Tensor) {
    let boxes: Vec<Vec<Corners>> = samples.iter().map(|s| s.boxes.clone()).collect();
    if net.box_head.has_norm() && boxes.iter().all(Vec::is_empty) && !sync_norm::is_shared() {
        return (zero(pyramid), zero(pyramid));
    }
    let raw = net.box_stage(ops, &net.decoder.pool_boxes(pyramid, &boxes));
    losses::box_losses(&raw, samples)
}

/// The loss of masks, and the number of regions that it is a mean over.
fn mask_loss(
    net: &Rcnn,
    head: &MaskHead,
    ops: &mut Eager,
    pyramid: &[Tensor],
    samples: &[RoiSamples],
    images: &ImageBatch,
    targets: &[Target],
) -> (Tensor, usize) {
    let mut boxes = vec![Vec::new(); samples.len()];
    let (mut outputs, mut wanted) = (Vec::new(), Vec::new());
    for (i, (sample, target)) in samples.iter().zip(targets).enumerate() {
        let Some(masks) = &target.masks else { continue };
        for (row, object, _) in &sample.positive {
            let Some(mask) = masks.get(*object) else { continue };
            wanted.push(Wanted { bbox: sample.boxes[*row], mask, image: images.sizes[i] });
            outputs.push(sample.outputs[*row]);
            boxes[i].push(sample.boxes[*row]);
        }
    }
    let Some(pooled) =
        net.decoder.pool_masks(pyramid, &boxes).filter(|_| !(head.has_norm() && wanted.is_empty()) || sync_norm::is_shared())
    else {
        return (zero(pyramid), wanted.len());
    };
    let targets = upload(&mask_targets(&wanted, net.decoder.mask_side()), pooled.device());
    let outputs = upload(&Tensor::from_slice(&outputs), pooled.device());
    // An empty batch passes too, so that the parameters get gradients of zero. Where norms share their statistics, all processes have to be in
    // the same place: the backward is the graph's, whatever the number of regions.
    if wanted.is_empty() || (head.has_norm() && sync_norm::is_shared()) {
        let logits = ops.scope("roi_heads", |ops| head.forward_of(ops, &pooled, &outputs));
        return (losses::mask_loss(&logits, &targets), wanted.len());
    }
    // Batch statistics are those of all regions, so a head with norms cannot be split.
    let n = wanted.len() as i64;
    let rows = match (head.has_norm(), pooled.device().is_cuda()) {
        (true, _) => n,
        (false, true) => REGIONS_AT_ONCE_ON_CARDS,
        (false, false) => REGIONS_AT_ONCE,
    };
    let parameters = head.named_tensors().into_iter().map(|e| e.tensor).filter(Tensor::requires_grad).collect();
    let loss = chunked_loss(&pooled, rows, parameters, |part, start| {
        let len = part.size()[0];
        let outputs = outputs.narrow(0, start, len);
        let logits = ops.scope("roi_heads", |ops| head.forward_of(ops, part, &outputs));
        losses::mask_loss(&logits, &targets.narrow(0, start, len)) * (len as f64 / n as f64)
    });
    (loss, wanted.len())
}

/// A loss of zero where a stage had nothing to be trained on.
fn zero(pyramid: &[Tensor]) -> Tensor {
    Tensor::zeros([], (Kind::Float, pyramid.first().map_or(tch::Device::Cpu, Tensor::device)))
}
