//! FCOS's three losses (torchvision's names): focal loss of classes, GIoU loss of boxes, cross-entropy of the centerness.
//!
//! Each is divided by the number of foreground points of the batch, at least 1. Images without objects contribute background alone.

use rayon::prelude::*;
use tch::{Kind, Reduction, Tensor};

use super::config::FcosConfig;
use super::distances::{centerness, centre, decode_tensor, to_sides};
use super::head::FcosOutputs;
use super::targets::assign;
use crate::anchors::AnchorSet;
use crate::boxes::{from_corners, giou_loss};
use crate::label_map::Objects;
use crate::losses::{at_least_f32, ClassTarget};
use crate::types::Losses;

/// The losses `classification`, `bbox_regression` and `bbox_ctrness`.
pub(super) fn losses(raw: &FcosOutputs<Tensor>, points: &AnchorSet, objects: &[Objects<'_>], config: &FcosConfig) -> Losses {
    let radius = config.center_sampling_radius as f32;
    let owners: Vec<Vec<Option<u32>>> = objects.par_iter().map(|o| assign(o.boxes, points, radius)).collect();
    let (mut rows, mut squares, mut boxes, mut centers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (i, (owners, objects)) in owners.iter().zip(objects).enumerate() {
        for (point, owner) in owners.iter().enumerate().filter_map(|(point, owner)| owner.map(|o| (point, o as usize))) {
            let square = points.boxes[point];
            rows.push((i * points.boxes.len() + point) as i64);
            squares.push(square);
            boxes.push(objects.boxes[owner]);
            centers.push(centerness(to_sides(centre(square), objects.boxes[owner])));
        }
    }
    let scale = 1.0 / rows.len().max(1) as f64;

    let classes: Vec<Vec<ClassTarget>> = owners.iter().zip(objects).map(|(owners, objects)| classes(owners, objects)).collect();
    let classification = config.focal().loss(&raw.logits, &classes, &vec![scale; objects.len()]);

    let device = raw.distances.device();
    let points = rows.len();
    let rows = Tensor::from_slice(&rows).to_device(device);
    let distances = at_least_f32(&raw.distances.reshape([-1, 4]).index_select(0, &rows));
    let kind = distances.kind();
    let [squares, boxes] = [squares, boxes].map(|b| from_corners(&b).to_kind(kind).to_device(device));
    let regression = giou_loss(&decode_tensor(&distances, &squares), &boxes).sum(None::<Kind>) * scale;

    let logits = at_least_f32(&raw.centerness.reshape([-1]).index_select(0, &rows));
    let centers = Tensor::from_slice(&centers).to_kind(kind).to_device(device);
    let centerness = logits.binary_cross_entropy_with_logits(&centers, None::<Tensor>, None::<Tensor>, Reduction::Sum) * scale;
    Losses::from([("classification", classification), ("bbox_regression", regression), ("bbox_ctrness", centerness)])
        .over_samples(&[points; 3])
}

fn classes(owners: &[Option<u32>], objects: &Objects<'_>) -> Vec<ClassTarget> {
    let class = |owner: &Option<u32>| match owner {
        Some(o) => ClassTarget::Class(objects.outputs[*o as usize] as u32),
        None => ClassTarget::Background,
    };
    owners.iter().map(class).collect()
}
