//! A convolution with the batch norm that follows it: the unit of folding.

use tch::Tensor;

use super::{BatchNorm, BatchNormConfig, Conv2d};
use crate::module::{Collector, FuseLevel, Module, Named, Tree};
use crate::ops::{Activation, Ops};

/// Convolution → batch norm → activation. Folding removes the norm; the convolution keeps its name and gains a bias.
#[derive(Debug)]
pub struct ConvBn {
    /// The convolution.
    pub conv: Named<Conv2d>,
    /// The norm; `None` once folded (or where the network has none).
    pub bn: Option<Named<BatchNorm>>,
    /// What follows.
    pub activation: Activation,
}

impl ConvBn {
    /// Children named `names` (convolution, norm), as the family's published state dict has them: `["0", "1"]`,
    /// `["conv", "bn1"]`, `["conv_stem", "bn1"]`.
    pub fn new(names: [&'static str; 2], conv: Conv2d, norm: BatchNormConfig, activation: Activation) -> Self {
        let bn = BatchNorm::new(conv.outputs(), norm);
        Self { conv: Named::new(names[0], conv), bn: Some(Named::new(names[1], bn)), activation }
    }
}

impl Tree for ConvBn {
    fn visit(&self, v: &mut Collector) {
        self.conv.visit(v);
        self.bn.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        if level == FuseLevel::All {
            if let Some(bn) = self.bn.take() {
                fold(&mut self.conv, &bn);
            }
        }
    }
}

impl Module for ConvBn {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let y = self.conv.forward(ops, x);
        match &self.bn {
            Some(bn) => ops.batch_norm_sum(&[(&y, bn)], self.activation),
            None => ops.activation(&y, self.activation),
        }
    }
}

/// Folds `bn` (with its running statistics) into the convolution before it: `K = scale * W`, `b = shift + scale * b`.
pub fn fold(conv: &mut Conv2d, bn: &BatchNorm) {
    let (scale, shift) = bn.affine();
    tch::no_grad(|| {
        let weight: Tensor = &conv.weight * scale.view([-1, 1, 1, 1]);
        let bias = match &conv.bias {
            Some(bias) => shift + bias * scale,
            None => shift,
        };
        let requires_grad = conv.weight.requires_grad();
        conv.weight = weight.set_requires_grad(requires_grad);
        conv.set_bias(bias);
    });
}
