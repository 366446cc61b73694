//! Comparison of detections with reference numbers, as sets.

#![allow(dead_code)]

use repghost_heads::{Corners, HostDetections};
pub use repghost_testing::pair;
use tch::{Kind, Tensor};

/// Rows of a tensor `[n, 4]`.
pub fn rows(t: &Tensor) -> Vec<Corners> {
    let flat = Vec::<f32>::try_from(t.to_kind(Kind::Float).reshape([-1])).unwrap();
    flat.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]).collect()
}

/// Reference detections; `first_label` is the label of the first class.
pub fn detections(boxes: &Tensor, scores: &Tensor, labels: &Tensor, first_label: i64) -> HostDetections {
    HostDetections {
        boxes: rows(boxes),
        scores: Vec::try_from(scores.to_kind(Kind::Float)).unwrap(),
        labels: Vec::<i64>::try_from(labels.to_kind(Kind::Int64)).unwrap().iter().map(|l| l - first_label).collect(),
        masks: None,
    }
}

type Row = (i64, Corners, f32);

fn table(d: &HostDetections) -> Vec<Row> {
    d.labels.iter().zip(&d.boxes).zip(&d.scores).map(|((label, b), score)| (*label, *b, *score)).collect()
}

/// Distance of corners in pixels; infinity for different classes.
fn corners(a: &Row, b: &Row) -> f64 {
    match a.0 == b.0 {
        true => a.1.iter().zip(&b.1).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max),
        false => f64::INFINITY,
    }
}

/// For each detection the position of its partner in the reference: the nearest of its class, by corners and score. (Boxes that fill the image are
/// equal after clipping; their scores tell them apart.)
pub fn pairs(got: &HostDetections, want: &HostDetections) -> Vec<usize> {
    pair(&table(got), &table(want), |a, b| corners(a, b) + f64::from((a.2 - b.2).abs())).0
}

/// Largest distance of corners in pixels and of scores, over pairs of one class. Infinity where a detection has no partner.
pub fn compare(got: &HostDetections, want: &HostDetections) -> [f64; 2] {
    if got.len() != want.len() {
        return [f64::INFINITY; 2];
    }
    let (got_rows, want_rows) = (table(got), table(want));
    pairs(got, want).iter().zip(&got_rows).fold([0.0, 0.0], |[boxes, scores], (at, row)| {
        let partner = &want_rows[*at];
        [corners(row, partner).max(boxes), f64::from((row.2 - partner.2).abs()).max(scores)]
    })
}
