//! Model complexity, part by part: parameters, multiply-adds and activation memory.
//!
//! Multiply-adds and activations come from a forward on shapes ([`Cost`]); parameters come from the module tree, so that a layer that
//! runs several times (a detection head on five levels) counts once. The same figures are called "flop count" by fvcore and "profile"
//! by timm; one multiply-add is one MAC, or two FLOPs.

use std::iter::Sum;
use std::ops::AddAssign;

use serde::Serialize;

use crate::backbone::{Backbone, Node};
use crate::cost::{Cost, CostRow};
use crate::module::{Module, Tree};

/// Bytes per activation in single precision.
pub const BYTES_PER_ACTIVATION: i64 = 4;

/// Complexity of a network, or of a part of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ModelCost {
    /// Learned elements.
    pub parameters: i64,
    /// Multiply-adds of convolutions and fully connected layers.
    pub macs: i64,
    /// Bytes written by all operations in single precision: roughly what training keeps for the backward pass. Inference frees most of
    /// it on the way.
    pub activation_bytes: i64,
}

impl ModelCost {
    /// Multiply-adds and activations of `rows`, without parameters.
    pub fn of_rows<'a>(rows: impl IntoIterator<Item = &'a CostRow>) -> Self {
        let each = rows.into_iter();
        each.map(|r| Self { parameters: 0, macs: r.macs, activation_bytes: r.activations * BYTES_PER_ACTIVATION }).sum()
    }
}

impl AddAssign for ModelCost {
    fn add_assign(&mut self, other: Self) {
        self.parameters += other.parameters;
        self.macs += other.macs;
        self.activation_bytes += other.activation_bytes;
    }
}

impl Sum for ModelCost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |mut sum, cost| {
            sum += cost;
            sum
        })
    }
}

/// A named part of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `C2` (the stem and all blocks up to stride 4), `C3`, …, `classifier`, or a path in a detector.
    pub name: String,
    /// Its complexity.
    pub cost: ModelCost,
}

/// Complexity of a backbone on images `[N, 3, H, W]`: stage by stage, and its classifier where it has one.
pub fn of_backbone(net: &Backbone, image: [i64; 4]) -> Vec<Part> {
    let mut parts = vec![];
    let mut x = image.to_vec();
    let mut start = 0;
    for stage in 1..=net.stages() {
        let nodes = net.stage_nodes(stage);
        if nodes.len() > start {
            let cost = of_nodes(&nodes[start..], &mut x);
            parts.push(Part { name: format!("C{}", stage + 1), cost });
            start = nodes.len();
        }
    }
    if net.has_classifier() {
        parts.push(Part { name: "classifier".into(), cost: of_nodes(net.tail(), &mut x) });
    }
    parts
}

/// Complexity of nodes that run one after the other on `x`, which becomes the last one's output.
fn of_nodes(nodes: &[Node], x: &mut Vec<i64>) -> ModelCost {
    let mut cost = Cost::default();
    for node in nodes {
        *x = node.forward(&mut cost, x);
    }
    ModelCost { parameters: nodes.iter().map(Tree::parameter_count).sum(), ..ModelCost::of_rows(&cost.rows) }
}
