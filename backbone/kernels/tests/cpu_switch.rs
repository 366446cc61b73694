//! The switch holds for the whole process, so this test has a program of its own.

use repghost_kernels::cpu::{conv2d, enabled, set_enabled, Conv};
use tch::{Device, Kind, Tensor};

#[test]
fn switched_off_everything_is_left_to_libtorch() {
    let x = Tensor::randn([1, 64, 6, 6], (Kind::Float, Device::Cpu));
    let weight = Tensor::randn([64, 64, 3, 3], (Kind::Float, Device::Cpu));
    let conv = Conv { stride: 1, padding: [1, 1], dilation: 1, groups: 1 };
    set_enabled(true);
    assert!(enabled() && conv2d(&x, &weight, None, &conv).is_some());
    set_enabled(false);
    assert!(!enabled() && conv2d(&x, &weight, None, &conv).is_none());
    set_enabled(true);
    assert!(conv2d(&x, &weight, None, &conv).is_some());
}
