//! The Ghost module and its re-parameterised form, the RepGhost module: one definition for every row of the paper's ablations.
//!
//! A 1x1 convolution makes `x1`; a cheap 3x3 depthwise convolution makes more features from it. GhostNet (Han et al., 2020)
//! *concatenates* both. RepGhost (Chen et al., 2022, figure 3) *adds* linear branches instead, and folds them into the one depthwise
//! convolution for inference:
//!
//! ```text
//! x1  = act(BN(conv1x1(x)))
//! out = act(BN_c(dw3x3(x1)) + BN_f(x1))        train
//! out = act(dw3x3'(x1))                        fused: K = t_c W, K[1,1] += t_f, bias = b_c + b_f
//! ```
//!
//! The centre tap of a zero-padded 3x3 kernel is the identity, so the fold is exact at the borders too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::layers::{BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, ConvBn};
use crate::module::{Collector, FuseLevel, Module, Named, Tree};
use crate::ops::{Activation, Ops};

/// Size of the cheap depthwise kernel, whatever kernel the bottleneck has.
const CHEAP_KERNEL: i64 = 3;

/// A linear branch that is added to the cheap convolution's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Branch {
    /// Batch norm on the identity: the paper's choice.
    Bn,
    /// The plain identity.
    Identity,
    /// A 1x1 depthwise convolution with batch norm.
    Dw1x1,
}

/// How `x1` and the cheap features are combined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Concatenated: the Ghost module (figure 3a).
    Concat,
    /// Added after the cheap branch's ReLU, which cannot be folded (figure 3b).
    AddAfterRelu,
    /// Added before the ReLU (figure 3c–e). No branch at all is the ablation's "none".
    Add(Vec<Branch>),
}

/// Settings of a [`GhostModule`].
#[derive(Clone, Debug)]
pub struct GhostModuleConfig {
    /// Output channels.
    pub outputs: i64,
    /// ReLU or nothing.
    pub activation: Activation,
    /// How features are reused.
    pub reuse: Reuse,
    /// The paper's `s`: with [`Reuse::Concat`], one channel in `ratio` comes from the primary convolution and the others are cheap.
    pub ratio: i64,
    /// Geometry of the primary convolution (1x1, stride 1 in GhostNet; the replaced convolution's in Ghost-ResNet).
    pub primary: Conv2dConfig,
    /// Constants of all batch norms.
    pub norm: BatchNormConfig,
}

/// One added branch.
#[derive(Debug)]
struct AddedBranch {
    conv: Option<Named<Conv2d>>,
    bn: Option<Named<BatchNorm>>,
}

/// The module.
#[derive(Debug)]
pub struct GhostModule {
    primary: ConvBn,
    cheap: Named<Conv2d>,
    cheap_bn: Option<Named<BatchNorm>>,
    branches: Vec<AddedBranch>,
    reuse: Reuse,
    activation: Activation,
    outputs: i64,
}

impl GhostModule {
    /// A module with `inputs` channels in.
    pub fn new(inputs: i64, config: &GhostModuleConfig) -> Self {
        let outputs = config.outputs;
        let (primary_outputs, cheap_outputs) = match config.reuse {
            Reuse::Concat => {
                let primary = (outputs + config.ratio - 1) / config.ratio;
                (primary, primary * (config.ratio - 1))
            }
            _ => (outputs, outputs),
        };
        let cheap = Conv2dConfig::same(CHEAP_KERNEL).groups(primary_outputs);
        let branches = match &config.reuse {
            Reuse::Add(branches) => {
                branches.iter().enumerate().map(|(i, b)| AddedBranch::new(i, *b, outputs, config.norm)).collect()
            }
            _ => vec![],
        };
        Self {
            primary: ConvBn::new(
                ["primary_conv.0", "primary_conv.1"],
                Conv2d::new(inputs, primary_outputs, config.primary),
                config.norm,
                config.activation,
            ),
            cheap: Named::new("cheap_operation.0", Conv2d::new(primary_outputs, cheap_outputs, cheap)),
            cheap_bn: Some(Named::new("cheap_operation.1", BatchNorm::new(cheap_outputs, config.norm))),
            branches,
            reuse: config.reuse.clone(),
            activation: config.activation,
            outputs,
        }
    }

    /// Folds the added branches and the cheap norm into the cheap convolution.
    fn fuse_branches(&mut self) {
        let Some(bn) = self.cheap_bn.take() else { return };
        crate::layers::fold(&mut self.cheap, &bn);
        let branches = std::mem::take(&mut self.branches);
        tch::no_grad(|| {
            let mut bias = self.cheap.bias.as_ref().map_or_else(|| bn.bias.zeros_like(), Tensor::shallow_clone);
            let mut centre = self.cheap.weight.narrow(2, 1, 1).narrow(3, 1, 1);
            for branch in &branches {
                let (scale, shift) = branch.affine(&bias);
                let _ = centre.g_add_(&scale.view([-1, 1, 1, 1]));
                bias += shift;
            }
            self.cheap.set_bias(bias);
        });
        self.cheap.name = "cheap_operation".into();
    }
}

impl AddedBranch {
    fn new(index: usize, kind: Branch, channels: i64, norm: BatchNormConfig) -> Self {
        let conv = || Named::new(format!("fusion_conv.{index}"), Conv2d::depthwise(channels, 1, 1));
        let bn = || Named::new(format!("fusion_bn.{index}"), BatchNorm::new(channels, norm));
        Self { conv: (kind == Branch::Dw1x1).then(conv), bn: (kind != Branch::Identity).then(bn) }
    }

    /// The branch as `scale * x + shift`, both `[C]` in the kind and on the device of `like`.
    fn affine(&self, like: &Tensor) -> (Tensor, Tensor) {
        let (mut scale, shift) = match &self.bn {
            Some(bn) => bn.affine(),
            None => (like.ones_like(), like.zeros_like()),
        };
        if let Some(conv) = &self.conv {
            scale *= conv.weight.view([-1]);
        }
        (scale, shift)
    }
}

impl Tree for GhostModule {
    fn visit(&self, v: &mut Collector) {
        self.primary.visit(v);
        self.branches.iter().for_each(|branch| branch.conv.visit(v));
        self.branches.iter().for_each(|branch| branch.bn.visit(v));
        self.cheap.visit(v);
        self.cheap_bn.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.primary.fuse(level);
        match self.reuse {
            Reuse::Add(_) => self.fuse_branches(),
            Reuse::Concat | Reuse::AddAfterRelu if level == FuseLevel::All => {
                if let Some(bn) = self.cheap_bn.take() {
                    crate::layers::fold(&mut self.cheap, &bn);
                }
            }
            _ => {}
        }
    }
}

impl Module for GhostModule {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let x1 = self.primary.forward(ops, x);
        let y = self.cheap.forward(ops, &x1);
        // The paper's module in training is one sum of normalised maps.
        if let (Reuse::Add(_), Some(cheap), [AddedBranch { conv: None, bn: Some(identity) }]) =
            (&self.reuse, &self.cheap_bn, self.branches.as_slice())
        {
            return ops.batch_norm_sum(&[(&y, cheap), (&x1, identity)], self.activation);
        }
        let mut y = self.cheap_bn.forward(ops, &y);
        match self.reuse {
            Reuse::Concat => {
                let y = ops.activation(&y, self.activation);
                let both = ops.concat(&[x1, y], 1);
                if self.primary.conv.outputs() + self.cheap.outputs() == self.outputs {
                    both
                } else {
                    ops.narrow_channels(&both, 0, self.outputs)
                }
            }
            Reuse::AddAfterRelu => {
                let y = ops.activation(&y, self.activation);
                ops.add(&y, &x1)
            }
            Reuse::Add(_) => {
                for branch in &self.branches {
                    let b = branch.conv.forward(ops, &x1);
                    let b = branch.bn.forward(ops, &b);
                    y = ops.add(&y, &b);
                }
                ops.activation(&y, self.activation)
            }
        }
    }
}
