//! A whole RetinaNet with this project's convolutions against libtorch's: outputs and the gradient of every parameter.
//!
//! Behind a ReLU any change in the order of summation moves single gradients by 1e-4 to 3e-3, fp64 against fp32 too: an input within
//! rounding of zero lands on either side. So the towers have a smooth activation here, and the bound is tight: 1e-5, or twice libtorch's own
//! error where that is larger (the first layers of a deep network).

use repghost_backbone::layers::{BatchNorm, Conv2d, ConvTranspose2d, GroupNorm, Linear};
use repghost_backbone::synthetic::{fill, input};
use repghost_backbone::{Activation, BackboneConfig, Eager, Ops, Role, Tree};
use repghost_heads::retinanet::{RetinaNet, RetinaNetConfig};
use repghost_heads::FpnConfig;
use repghost_kernels::cpu;
use tch::{Kind, Tensor};

/// [`Eager`] with SiLU for ReLU.
struct Smooth(Eager);

/// Methods that [`Eager`]'s own serve.
macro_rules! delegate {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $out:ty;)*) => {
        $(fn $name(&mut self, $($arg: $kind),*) -> $out { self.0.$name($($arg),*) })*
    };
}

impl Ops for Smooth {
    type Value = Tensor;

    fn share(x: &Tensor) -> Tensor {
        Eager::share(x)
    }

    fn enter(&mut self, _: &str) {}

    fn leave(&mut self) {}

    fn levels<R>(&mut self, xs: &[Tensor], mut f: impl FnMut(&mut Self, &[Tensor]) -> Vec<R>) -> Vec<R> {
        f(self, xs)
    }

    fn activation(&mut self, x: &Tensor, activation: Activation) -> Tensor {
        match activation {
            Activation::Relu => x.silu(),
            other => self.0.activation(x, other),
        }
    }

    delegate! {
        conv2d(x: &Tensor, layer: &Conv2d) -> Tensor;
        conv2d_levels(xs: &[Tensor], layer: &Conv2d) -> Vec<Tensor>;
        conv_transpose2d(x: &Tensor, layer: &ConvTranspose2d) -> Tensor;
        linear(x: &Tensor, layer: &Linear) -> Tensor;
        batch_norm(x: &Tensor, layer: &BatchNorm) -> Tensor;
        group_norm(x: &Tensor, layer: &GroupNorm) -> Tensor;
        add(a: &Tensor, b: &Tensor) -> Tensor;
        mul(a: &Tensor, b: &Tensor) -> Tensor;
        concat(parts: &[Tensor], dim: i64) -> Tensor;
        narrow_channels(x: &Tensor, start: i64, len: i64) -> Tensor;
        mean_hw(x: &Tensor) -> Tensor;
        max_pool2d(x: &Tensor, kernel: i64, stride: i64, padding: i64) -> Tensor;
        avg_pool2d(x: &Tensor, kernel: i64, stride: i64) -> Tensor;
        upsample_nearest(x: &Tensor, like: &Tensor) -> Tensor;
        flatten(x: &Tensor) -> Tensor;
        flatten_positions(x: &Tensor, k: i64) -> Tensor;
        dropout(x: &Tensor, p: f64) -> Tensor;
    }
}

/// Outputs, and gradients by name.
fn run(network: &RetinaNet, kind: Kind) -> (Vec<Tensor>, Vec<(String, Tensor)>) {
    let parameters: Vec<_> = network.named_tensors().into_iter().filter(|e| e.role == Role::Parameter).collect();
    for mut parameter in parameters.iter().map(|e| e.tensor.shallow_clone()) {
        parameter.zero_grad();
    }
    // In inference mode, since batch statistics of tiny maps magnify rounding; gradients flow all the same.
    let raw = network.raw(&mut Smooth(Eager::eval()), &input("images", &[2, 3, 96, 128]).to_kind(kind));
    let weigh = |y: &Tensor, name: &str| (y * input(name, &y.size()).to_kind(kind)).mean(None::<Kind>);
    (weigh(&raw.logits, "logits") + weigh(&raw.deltas, "deltas")).backward();
    let gradients = parameters.into_iter().map(|e| (e.name, e.tensor.grad().to_kind(Kind::Double).copy()));
    (vec![raw.logits.detach().to_kind(Kind::Double), raw.deltas.detach().to_kind(Kind::Double)], gradients.collect())
}

/// Difference over size, both as L2 norms.
fn off(found: &Tensor, right: &Tensor) -> f64 {
    (found - right).norm().double_value(&[]) / right.norm().double_value(&[]).max(1e-30)
}

#[test]
fn outputs_and_gradients_of_a_smooth_network_equal_those_in_double_precision() {
    let body = BackboneConfig { width: 0.5, ..Default::default() }.build_features().unwrap();
    let config = RetinaNetConfig { tower_depth: 2, ..Default::default() };
    let network = RetinaNet::new(body, &FpnConfig { channels: 64, ..Default::default() }, &config, 7).unwrap();
    fill(&network, "");
    cpu::set_enabled(true);
    let (outputs, gradients) = run(&network, Kind::Float);
    cpu::set_enabled(false);
    let (theirs, their_gradients) = run(&network, Kind::Float);
    network.convert(tch::Device::Cpu, Kind::Double);
    let (right, right_gradients) = run(&network, Kind::Double);
    for ((found, theirs), right) in outputs.iter().zip(&theirs).zip(&right) {
        let (own, libtorch) = (off(found, right), off(theirs, right));
        println!("output: off by {own:.1e}, libtorch {libtorch:.1e}");
        assert!(own < 1e-5, "an output is off by {own:.1e}");
    }
    let mut differ = 0;
    for (((name, found), (_, theirs)), (_, right)) in gradients.iter().zip(&their_gradients).zip(&right_gradients) {
        let (own, libtorch) = (off(found, right), off(theirs, right));
        differ += usize::from(own != libtorch);
        println!("{name}: off by {own:.1e}, libtorch {libtorch:.1e}");
        assert!(own < f64::max(1e-5, 2.0 * libtorch), "the gradient of {name} is off by {own:.1e}, libtorch's by {libtorch:.1e}");
    }
    assert!(differ > gradients.len() / 2, "only {differ} of {} gradients came from other kernels", gradients.len());
}
