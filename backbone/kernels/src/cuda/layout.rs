//! The order of elements that cuDNN's dense convolutions run fastest in.
//!
//! Matrix units read channels last. Given maps with channels first, cuDNN turns them around before and after each convolution, forward and
//! backward. A stack of convolutions saves that if its input has channels last already: convolutions, sums, ReLU and nearest-neighbour
//! resizing keep the order, and so do their gradients.

use tch::{Kind, Tensor};

use super::available;
use crate::device::precision::tf32_is_allowed;

/// `x [N, C, H, W]` with channels last where its convolutions run on matrix units (a card, half precision or TF32); `x` itself elsewhere.
pub fn for_convolutions(x: &Tensor) -> Tensor {
    let on_matrix_units = match x.kind() {
        Kind::Half | Kind::BFloat16 => true,
        Kind::Float => tf32_is_allowed(),
        _ => false,
    };
    if on_matrix_units && x.dim() == 4 && available(x.device()) {
        channels_last(x)
    } else {
        x.shallow_clone()
    }
}

/// Whether neighbouring elements of `map [N, C, H, W]` belong to neighbouring channels, without gaps.
pub fn is_channels_last(map: &Tensor) -> bool {
    map.size()[1] > 1 && map.permute([0, 2, 3, 1]).is_contiguous()
}

/// `x [N, C, H, W]` with channels last: the same values and gradients.
pub fn channels_last(x: &Tensor) -> Tensor {
    x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn values_and_gradients_stay() {
        let x = Tensor::arange(24, (Kind::Float, Device::Cpu)).view([1, 3, 4, 2]).set_requires_grad(true);
        let turned = channels_last(&x);
        assert!(is_channels_last(&turned) && !is_channels_last(&x));
        assert!(turned.equal(&x));
        (&turned * &turned).sum(Kind::Float).backward();
        assert!(x.grad().equal(&(x.detach() * 2.0)));
    }

    #[test]
    fn the_host_keeps_its_order() {
        let x = Tensor::ones([1, 3, 4, 2], (Kind::BFloat16, Device::Cpu));
        assert!(!is_channels_last(&for_convolutions(&x)));
    }
}
