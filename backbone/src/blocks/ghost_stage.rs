//! A stage of G-Ghost (Han et al., 2022, "GhostNets on Heterogeneous Devices via Cheap Operations", figure 5): the ghost idea across a
//! stage instead of within a layer, for GPUs.
//!
//! ```text
//! x0      = base(x)                                           one full block
//! e_i     = layer_i(e_(i-1)),  e_0 = x0[..raw]                the other blocks, on part of the channels
//! m       = BN(conv1x1(ReLU(BN(conv1x1(mean(x0, e_1, …, e_n))))))
//! c       = ReLU(BN(conv1x1(x0[raw..])) + m)                  the rest of the channels, cheaply
//! out     = end(concat(e_n, c))                               one full block
//! ```

use super::ResidualBlock;
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn};
use crate::module::{Collector, FuseLevel, Module, Named, Tree};
use crate::ops::{Activation, Ops};

/// Parts of a [`GhostStage`].
#[derive(Debug)]
pub struct GhostStageConfig {
    /// The first block, which halves the map.
    pub base: ResidualBlock,
    /// The blocks on `raw` channels.
    pub layers: Vec<ResidualBlock>,
    /// The last block.
    pub end: ResidualBlock,
    /// Channels of the layers.
    pub raw: i64,
    /// The other channels.
    pub cheap: i64,
    /// Constants of the batch norms.
    pub norm: BatchNormConfig,
}

/// The stage.
#[derive(Debug)]
pub struct GhostStage {
    base: Named<ResidualBlock>,
    end: Named<ResidualBlock>,
    merge: [ConvBn; 2],
    cheap: ConvBn,
    layers: Vec<Named<ResidualBlock>>,
    channels: [i64; 2],
}

impl GhostStage {
    /// A stage of these parts.
    pub fn new(c: GhostStageConfig) -> Self {
        let pooled = c.raw + c.cheap + c.raw * c.layers.len() as i64;
        let pointwise = |names, inputs, activation| {
            ConvBn::new(names, Conv2d::new(inputs, c.cheap, Conv2dConfig::default()), c.norm, activation)
        };
        let layers = c.layers.into_iter().enumerate();
        Self {
            base: Named::new("base", c.base),
            end: Named::new("end", c.end),
            merge: [
                pointwise(["merge.1", "merge.2"], pooled, Activation::Relu),
                pointwise(["merge.4", "merge.5"], c.cheap, Activation::Identity),
            ],
            cheap: pointwise(["cheap.0", "cheap.1"], c.cheap, Activation::Identity),
            layers: layers.map(|(i, layer)| Named::new(format!("layers.{i}"), layer)).collect(),
            channels: [c.raw, c.cheap],
        }
    }
}

impl Tree for GhostStage {
    fn visit(&self, v: &mut Collector) {
        self.base.visit(v);
        self.end.visit(v);
        self.merge.visit(v);
        self.cheap.visit(v);
        self.layers.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.base.fuse(level);
        self.end.fuse(level);
        self.merge.fuse(level);
        self.cheap.fuse(level);
        self.layers.fuse(level);
    }
}

impl Module for GhostStage {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let [raw, cheap] = self.channels;
        let x0 = self.base.forward(ops, x);
        let mut means = vec![ops.mean_hw(&x0)];
        let mut e = ops.narrow_channels(&x0, 0, raw);
        for layer in &self.layers {
            e = layer.forward(ops, &e);
            means.push(ops.mean_hw(&e));
        }
        // The mean of the joined maps is the join of their means, which is smaller.
        let m = ops.concat(&means, 1);
        let m = self.merge.forward(ops, &m);
        let c = ops.narrow_channels(&x0, raw, cheap);
        let c = self.cheap.forward(ops, &c);
        let c = ops.add(&c, &m);
        let c = ops.activation(&c, Activation::Relu);
        let joined = ops.concat(&[e, c], 1);
        self.end.forward(ops, &joined)
    }
}
