//! Initial values other than PyTorch's defaults, as torchvision's classifiers have them.

use tch::Tensor;

use crate::module::{Role, Tree};

/// Kaiming's normal distribution over the outputs for every convolution below `tree`: `N(0, 2 / (out * kh * kw))` (He et al.,
/// 2015). As in torch, `out` counts all channels of a depthwise convolution too.
pub fn kaiming_fan_out(tree: &dyn Tree) {
    each(tree, |_, weight| {
        if let [outputs, _, kh, kw] = weight.size()[..] {
            let _ = weight.normal_(0.0, (2.0 / (outputs * kh * kw) as f64).sqrt());
        }
    });
}

/// The rest of the MobileNets' rule: `N(0, 0.01^2)` for fully connected layers, zero for all biases.
pub fn small_linear_zero_bias(tree: &dyn Tree) {
    const DEVIATION: f64 = 0.01;
    each(tree, |name, tensor| {
        if tensor.dim() == 2 {
            let _ = tensor.normal_(0.0, DEVIATION);
        } else if name.ends_with("bias") {
            let _ = tensor.zero_();
        }
    });
}

/// The rule of the EfficientNets' code: as [`kaiming_fan_out`], but a depthwise convolution's fan is its kernel alone; fully connected
/// layers from `U(-1 / sqrt(out), 1 / sqrt(out))`, all biases zero.
pub fn efficientnet(tree: &dyn Tree) {
    each(tree, |name, tensor| match tensor.size()[..] {
        [outputs, per_group, kh, kw] => {
            let fan = if per_group == 1 { kh * kw } else { outputs * kh * kw };
            let _ = tensor.normal_(0.0, (2.0 / fan as f64).sqrt());
        }
        [outputs, _] => {
            let bound = 1.0 / (outputs as f64).sqrt();
            let _ = tensor.uniform_(-bound, bound);
        }
        _ if name.ends_with("bias") => {
            let _ = tensor.zero_();
        }
        _ => {}
    });
}

fn each(tree: &dyn Tree, f: impl Fn(&str, &mut Tensor)) {
    tch::no_grad(|| {
        for mut entry in tree.named_tensors().into_iter().filter(|e| e.role == Role::Parameter) {
            f(&entry.name, &mut entry.tensor);
        }
    })
}
