//! Parallel linear branches that are summed in training and fold into one convolution for inference.
//!
//! ```text
//! train   Σ BN(conv k x k) + BN(conv 1x1) + BN(x)
//! fused   conv k x k with bias
//! ```
//!
//! All branches are linear, so their kernels add up once the small ones are padded to `k x k`. The identity is a kernel with a one
//! at the centre. Zero padding makes the sum exact at the borders too: a 1x1 kernel and the identity never reach past them.

use tch::Tensor;

use crate::layers::{BatchNorm, Conv2d, ConvBn};
use crate::module::{Collector, FuseLevel, Module, Named, Tree};
use crate::ops::Ops;

/// The sum of branches, or the convolution that equals it.
#[derive(Debug)]
pub struct BranchSum {
    form: Form,
    fused_name: &'static str,
}

#[derive(Debug)]
enum Form {
    Branches { identity: Option<Named<BatchNorm>>, convs: Vec<Named<ConvBn>> },
    Fused(Named<Conv2d>),
}

impl BranchSum {
    /// Branches in the order of the state dict; the kernel of the first is the largest. Once fused, the convolution is called
    /// `fused_name`.
    ///
    /// # Panics
    /// Without a convolution: a family's definition is wrong then.
    pub fn new(identity: Option<Named<BatchNorm>>, convs: Vec<Named<ConvBn>>, fused_name: &'static str) -> Self {
        assert!(!convs.is_empty(), "a sum of branches needs a convolution");
        Self { form: Form::Branches { identity, convs }, fused_name }
    }
}

impl Tree for BranchSum {
    fn visit(&self, v: &mut Collector) {
        match &self.form {
            Form::Branches { identity, convs } => {
                identity.visit(v);
                convs.visit(v);
            }
            Form::Fused(conv) => conv.visit(v),
        }
    }

    fn fuse(&mut self, _: FuseLevel) {
        if let Form::Branches { identity, convs } = &mut self.form {
            let merged = merge(identity.take(), std::mem::take(convs));
            self.form = Form::Fused(Named::new(self.fused_name, merged));
        }
    }
}

impl Module for BranchSum {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        match &self.form {
            Form::Branches { identity, convs } => {
                let mut sum = identity.as_ref().map(|bn| bn.forward(ops, x));
                for conv in convs {
                    let b = conv.forward(ops, x);
                    sum = Some(match &sum {
                        Some(s) => ops.add(s, &b),
                        None => b,
                    });
                }
                sum.expect("checked when the sum was made")
            }
            Form::Fused(conv) => conv.forward(ops, x),
        }
    }
}

/// The one convolution that equals all branches together.
fn merge(identity: Option<Named<BatchNorm>>, mut convs: Vec<Named<ConvBn>>) -> Conv2d {
    for branch in &mut convs {
        branch.fuse(FuseLevel::All);
    }
    let mut convs = convs.into_iter().map(|branch| branch.into_inner().conv.into_inner());
    let mut merged = convs.next().expect("checked when the sum was made");
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
