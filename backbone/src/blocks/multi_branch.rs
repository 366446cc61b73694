//! Re-parameterised convolutions with parallel branches: RepVGG (Ding et al., 2021) and MobileOne (Vasu et al., 2023).
//!
//! ```text
//! train   act(SE(Σ BN(conv k x k) + BN(conv 1x1) + BN(x)))
//! fused   act(SE(conv k x k with bias))
//! ```
//!
//! All branches are linear, so their kernels add up once the small ones are padded to `k x k`. The identity is a kernel with a one
//! at the centre. Zero padding makes the sum exact at the borders too: a 1x1 kernel and the identity never reach past them.

use tch::Tensor;

use super::SqueezeExcite;
use crate::layers::{fold, BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, ConvBn};
use crate::module::{FuseLevel, Module, Tree, Visitor};
use crate::ops::{Activation, Ops};

/// Path of the fused convolution, as timm has it.
const FUSED: &str = "reparam_conv";
const IDENTITY: &str = "identity";
const GATE: &str = "attn";

/// How timm names the branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BranchNames {
    /// `conv_kxk`, `conv_1x1`.
    RepVgg,
    /// `conv_kxk.0`, `conv_kxk.1`, …, `conv_scale`.
    MobileOne,
}

/// Settings of a [`MultiBranch`] block.
#[derive(Clone, Debug)]
pub struct MultiBranchConfig {
    /// Input channels.
    pub inputs: i64,
    /// Output channels.
    pub outputs: i64,
    /// Kernel of the main branches; where it is 1 there is no 1x1 branch.
    pub kernel: i64,
    /// 1 or 2.
    pub stride: i64,
    /// Channel groups of all convolutions.
    pub groups: i64,
    /// Number of `k x k` branches.
    pub branches: usize,
    /// Width of the squeeze-excite bottleneck, where there is one.
    pub squeeze: Option<i64>,
    /// Constants of all batch norms.
    pub norm: BatchNormConfig,
    /// Names of the branches.
    pub names: BranchNames,
}

#[derive(Debug)]
enum Form {
    Branches { identity: Option<BatchNorm>, convs: Vec<(String, ConvBn)> },
    Fused(Conv2d),
}

/// The block. There is an identity branch where input and output have one shape.
#[derive(Debug)]
pub struct MultiBranch {
    form: Form,
    squeeze: Option<SqueezeExcite>,
}

impl MultiBranch {
    /// A block by its settings.
    ///
    /// # Panics
    /// When there is no main branch: a family's definition is wrong then.
    pub fn new(c: &MultiBranchConfig) -> Self {
        assert!(c.branches > 0, "a multi-branch block needs a k x k branch");
        let branch = |kernel| {
            let geometry = Conv2dConfig::same(kernel).stride(c.stride).groups(c.groups);
            ConvBn::new(["conv", "bn"], Conv2d::new(c.inputs, c.outputs, geometry), c.norm, Activation::Identity)
        };
        let (main, small): (fn(usize) -> String, &str) = match c.names {
            BranchNames::RepVgg => (|_| "conv_kxk".into(), "conv_1x1"),
            BranchNames::MobileOne => (|i| format!("conv_kxk.{i}"), "conv_scale"),
        };
        let mut convs: Vec<_> = (0..c.branches).map(|i| (main(i), branch(c.kernel))).collect();
        if c.kernel > 1 {
            convs.push((small.to_string(), branch(1)));
        }
        let identity = (c.inputs == c.outputs && c.stride == 1).then(|| BatchNorm::new(c.outputs, c.norm));
        let squeeze = c.squeeze.map(|reduced| SqueezeExcite::new(c.outputs, reduced, ["fc1", "fc2"], Activation::Sigmoid));
        Self { form: Form::Branches { identity, convs }, squeeze }
    }
}

/// The one convolution that equals all branches together.
fn merge(identity: Option<BatchNorm>, mut convs: Vec<(String, ConvBn)>) -> Conv2d {
    for (_, branch) in &mut convs {
        if let Some(bn) = branch.bn.take() {
            fold(&mut branch.conv, &bn);
        }
    }
    let mut convs = convs.into_iter().map(|(_, branch)| branch.conv);
    let mut merged = convs.next().expect("checked when the block was made");
    tch::no_grad(|| {
        let kernel = merged.config.kernel[0];
        let weight = &mut merged.weight;
        let mut bias = merged.bias.take().expect("folding gives a bias");
        for conv in convs {
            let pad = (kernel - conv.config.kernel[0]) / 2;
            *weight += conv.weight.constant_pad_nd([pad; 4]);
            bias += conv.bias.expect("folding gives a bias");
        }
        if let Some(bn) = &identity {
            let (scale, shift) = bn.affine();
            *weight += identity_kernel(&scale, weight);
            bias += shift;
        }
        merged.set_bias(bias);
    });
    merged
}

/// The kernel, shaped as `like`, of `y = scale * x`.
fn identity_kernel(scale: &Tensor, like: &Tensor) -> Tensor {
    let [channels, per_group, kernel] = [like.size()[0], like.size()[1], like.size()[2]];
    let centre = kernel / 2 * kernel + kernel / 2;
    let rows = Tensor::arange(channels, (tch::Kind::Int64, like.device()));
    // Channel c reads input c % per_group of its group.
    let flat = rows.remainder(per_group) * (kernel * kernel) + centre;
    let mut out = like.zeros_like().reshape([channels, -1]);
    let _ = out.scatter_(1, &flat.unsqueeze(1), &scale.unsqueeze(1));
    out.view_as(like)
}

impl Tree for MultiBranch {
    fn visit(&self, v: &mut Visitor) {
        match &self.form {
            Form::Branches { identity, convs } => {
                if let Some(bn) = identity {
                    v.child(IDENTITY, bn);
                }
                for (name, conv) in convs {
                    v.child(name, conv);
                }
            }
            Form::Fused(conv) => v.child(FUSED, conv),
        }
        if let Some(squeeze) = &self.squeeze {
            v.child(GATE, squeeze);
        }
    }

    fn fuse(&mut self, _: FuseLevel) {
        if let Form::Branches { identity, convs } = &mut self.form {
            self.form = Form::Fused(merge(identity.take(), std::mem::take(convs)));
        }
    }
}

impl Module for MultiBranch {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let mut y = match &self.form {
            Form::Branches { identity, convs } => {
                let mut sum = identity.as_ref().map(|bn| ops.scope(IDENTITY, |ops| ops.batch_norm(x, bn)));
                for (name, conv) in convs {
                    let b = ops.scope(name, |ops| conv.forward(ops, x));
                    sum = Some(match &sum {
                        Some(s) => ops.add(s, &b),
                        None => b,
                    });
                }
                sum.expect("checked when the block was made")
            }
            Form::Fused(conv) => ops.scope(FUSED, |ops| ops.conv2d(x, conv)),
        };
        if let Some(squeeze) = &self.squeeze {
            y = ops.scope(GATE, |ops| squeeze.forward(ops, &y));
        }
        ops.activation(&y, Activation::Relu)
    }
}
