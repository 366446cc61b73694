//! Initial weights of heads, by torchvision's rules. Values come from torch's global generator.

use repghost_backbone::layers::Conv2d;
use tch::Tensor;

/// Weights from `U(-b, b)` with `b = sqrt(3 / fan_in)` (Kaiming uniform with slope 1), bias 0.
pub fn kaiming_uniform(conv: &Conv2d) {
    let fan_in: i64 = conv.weight.size()[1..].iter().product();
    let bound = (3.0 / fan_in as f64).sqrt();
    tch::no_grad(|| {
        let _ = conv.weight.shallow_clone().uniform_(-bound, bound);
    });
    set_bias(conv, 0.0);
}

/// Weights from a normal distribution, bias constant.
pub fn normal(conv: &Conv2d, std: f64, bias: f64) {
    tch::no_grad(|| {
        let _ = conv.weight.shallow_clone().normal_(0.0, std);
    });
    set_bias(conv, bias);
}

/// Weights from `N(0, 2 / fan_out)` (Kaiming normal for ReLU, by output), where the fan is the first dimension times the kernel.
pub fn kaiming_normal_fan_out(weight: &Tensor) {
    let size = weight.size();
    let fan_out = size[0] * size[2..].iter().product::<i64>();
    tch::no_grad(|| {
        let _ = weight.shallow_clone().normal_(0.0, (2.0 / fan_out as f64).sqrt());
    });
}

/// One value everywhere.
pub fn constant(tensor: &Tensor, value: f64) {
    tch::no_grad(|| {
        let _ = tensor.shallow_clone().fill_(value);
    });
}

fn set_bias(conv: &Conv2d, value: f64) {
    if let Some(bias) = &conv.bias {
        tch::no_grad(|| {
            let _ = bias.shallow_clone().fill_(value);
        });
    }
}
