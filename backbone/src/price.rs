//! What a network costs, part by part: the report of the [`Cost`] reader.
//!
//! Multiply-adds and activations come from a forward on shapes; parameters come from the module tree, so that a layer that runs
//! several times (a detection head on five levels) counts once.

use std::iter::Sum;
use std::ops::AddAssign;

use serde::Serialize;

use crate::backbone::{Backbone, Node};
use crate::cost::{Cost, CostRow};
use crate::module::{Module, Tree};
use crate::ops::Ops;

/// Bytes of an activation in single precision.
pub const BYTES_PER_ACTIVATION: i64 = 4;

/// The price of a part of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Price {
    /// Learned elements.
    pub parameters: i64,
    /// Multiply-adds of convolutions and fully connected layers.
    pub macs: i64,
    /// Bytes written by all operations in single precision: what training keeps for the backward pass, roughly. Inference frees
    /// most of it on the way.
    pub activation_bytes: i64,
}

impl Price {
    /// The price of running `rows`, without parameters.
    pub fn of_rows<'a>(rows: impl IntoIterator<Item = &'a CostRow>) -> Self {
        let each = rows.into_iter();
        each.map(|r| Self { parameters: 0, macs: r.macs, activation_bytes: r.activations * BYTES_PER_ACTIVATION }).sum()
    }
}

impl AddAssign for Price {
    fn add_assign(&mut self, other: Self) {
        self.parameters += other.parameters;
        self.macs += other.macs;
        self.activation_bytes += other.activation_bytes;
    }
}

impl Sum for Price {
    fn sum<I: Iterator<Item = Self>>(prices: I) -> Self {
        prices.fold(Self::default(), |mut sum, price| {
            sum += price;
            sum
        })
    }
}

/// A part and its price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `C2` (the stem and all blocks up to stride 4), `C3`, …, `classifier`, or a path in a detector.
    pub name: String,
    /// What it costs.
    pub price: Price,
}

/// Prices a backbone on images `[N, 3, H, W]`, stage by stage, and its classifier where it has one.
pub fn backbone(net: &Backbone, image: [i64; 4]) -> Vec<Part> {
    let mut parts = vec![];
    let mut x = image.to_vec();
    let mut start = 0;
    for stage in 1..=net.stages() {
        let nodes = net.stage_nodes(stage);
        if nodes.len() > start {
            let price = nodes_price(&nodes[start..], &mut x);
            parts.push(Part { name: format!("C{}", stage + 1), price });
            start = nodes.len();
        }
    }
    if net.has_classifier() {
        parts.push(Part { name: "classifier".into(), price: nodes_price(net.tail(), &mut x) });
    }
    parts
}

/// Prices nodes that run one after the other on `x`, which becomes the last one's output.
fn nodes_price(nodes: &[Node], x: &mut Vec<i64>) -> Price {
    let mut cost = Cost::default();
    for node in nodes {
        *x = cost.scope(&node.name, |cost| node.block.forward(cost, x));
    }
    Price { parameters: nodes.iter().map(|n| n.block.parameter_count()).sum(), ..Price::of_rows(&cost.rows) }
}
