//! Convolutions of this crate against libtorch's in double precision: outputs and all gradients, over shapes that have no pattern.

use repghost_kernels::cpu::{conv2d, conv2d_levels, set_enabled, Conv};
use tch::{Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

fn dense() -> Conv {
    Conv { stride: 1, padding: [1, 1], dilation: 1, groups: 1 }
}

/// Largest difference over largest value.
fn error(found: &Tensor, right: &Tensor) -> f64 {
    assert_eq!(found.size(), right.size());
    let scale = right.abs().max().double_value(&[]).max(1e-30);
    (found.to_kind(Kind::Double) - right).abs().max().double_value(&[]) / scale
}

struct Layer {
    weight: Tensor,
    bias: Option<Tensor>,
    conv: Conv,
}

impl Layer {
    fn new(weight: [i64; 4], bias: bool, conv: Conv) -> Self {
        let weight_ = Tensor::randn(weight, CPU).set_requires_grad(true);
        Self { weight: weight_, bias: bias.then(|| Tensor::randn([weight[0]], CPU).set_requires_grad(true)), conv }
    }

    fn right(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let c = &self.conv;
        x.conv2d(weight, bias, [c.stride; 2], c.padding, [c.dilation; 2], c.groups)
    }
}

/// Compares the layer on some inputs; `run` is given the inputs and returns the outputs.
fn compare(layer: &Layer, xs: &[Tensor], run: impl Fn(&[Tensor]) -> Vec<Tensor>, bound: f64) {
    let leaves: Vec<Tensor> = xs.iter().map(|x| x.detach().set_requires_grad(true)).collect();
    let ys = run(&leaves);
    let doubles: Vec<Tensor> = xs.iter().map(|x| x.to_kind(Kind::Double).set_requires_grad(true)).collect();
    let weight = layer.weight.detach().to_kind(Kind::Double).set_requires_grad(true);
    let bias = layer.bias.as_ref().map(|b| b.detach().to_kind(Kind::Double).set_requires_grad(true));
    let right: Vec<Tensor> = doubles.iter().map(|x| layer.right(x, &weight, bias.as_ref())).collect();
    let mut total = Tensor::zeros([], CPU);
    let mut right_total = Tensor::zeros([], (Kind::Double, Device::Cpu));
    for (y, r) in ys.iter().zip(&right) {
        let e = error(&y.detach(), &r.detach());
        assert!(e < bound, "{:?} of {:?}: output off by {e:.1e}", layer.weight.size(), y.size());
        let factor = Tensor::randn(y.size(), CPU);
        total += (y * &factor).sum(Kind::Float);
        right_total += (r * factor.to_kind(Kind::Double)).sum(Kind::Double);
    }
    for t in [Some(&layer.weight), layer.bias.as_ref()].into_iter().flatten() {
        t.grad().defined().then(|| t.grad().zero_());
    }
    total.backward();
    right_total.backward();
    let pairs = leaves.iter().zip(&doubles).chain([(&layer.weight, &weight)]).chain(layer.bias.iter().zip(&bias));
    for (found, right) in pairs {
        let e = error(&found.grad(), &right.grad());
        assert!(e < bound, "{:?}, gradient of size {:?} off by {e:.1e}", layer.weight.size(), found.size());
    }
}

#[test]
fn dense_layers_equal_libtorch_in_double_precision() {
    set_enabled(true);
    tch::manual_seed(1);
    // [inputs, outputs, images, height, width]
    let sizes = [
        [48, 32, 1, 1, 1],
        [64, 64, 2, 13, 21],
        [53, 71, 1, 3, 5],
        [64, 48, 3, 1, 70],
        [128, 36, 1, 40, 1],
        [256, 256, 1, 20, 20],
        [64, 100, 2, 8, 8],
    ];
    for [inputs, outputs, images, height, width] in sizes {
        for bias in [false, true] {
            let layer = Layer::new([outputs, inputs, 3, 3], bias, dense());
            let x = Tensor::randn([images, inputs, height, width], CPU);
            let run = |xs: &[Tensor]| vec![conv2d(&xs[0], &layer.weight, layer.bias.as_ref(), &layer.conv).expect("a kernel")];
            compare(&layer, &[x], run, 6e-6);
        }
    }
}

#[test]
fn depthwise_layers_equal_libtorch_in_double_precision() {
    set_enabled(true);
    tch::manual_seed(2);
    for kernel in [3i64, 5] {
        for stride in [1i64, 2] {
            for [channels, images, height, width] in
                [[2i64, 1, 1, 1], [3, 2, 7, 70], [20, 1, 8, 8], [12, 3, 17, 5], [60, 4, 20, 20], [9, 1, 2, 31]]
            {
                let conv = Conv { stride, padding: [kernel / 2; 2], dilation: 1, groups: channels };
                let layer = Layer::new([channels, 1, kernel, kernel], channels % 2 == 0, conv);
                let x = Tensor::randn([images, channels, height, width], CPU);
                let run =
                    |xs: &[Tensor]| vec![conv2d(&xs[0], &layer.weight, layer.bias.as_ref(), &layer.conv).expect("a kernel")];
                compare(&layer, &[x], run, 3e-6);
            }
        }
    }
}

/// A pyramid in one pass equals its levels one by one, and so do the summed gradients of the shared filter.
#[test]
fn levels_that_share_a_filter_go_together() {
    set_enabled(true);
    tch::manual_seed(3);
    let layer = Layer::new([64, 64, 3, 3], true, dense());
    let xs: Vec<Tensor> = [40, 20, 10, 5, 3].map(|side| Tensor::randn([2, 64, side, side + 1], CPU)).into();
    compare(&layer, &xs, |xs| conv2d_levels(xs, &layer.weight, layer.bias.as_ref(), &layer.conv).expect("a kernel"), 6e-6);
}

/// Frozen filters and inputs without history get no gradients, and nothing is computed for them.
#[test]
fn only_wanted_gradients_are_made() {
    set_enabled(true);
    let x = Tensor::randn([1, 48, 6, 6], CPU);
    let weight = Tensor::randn([48, 48, 3, 3], CPU);
    let y = conv2d(&x, &weight, None, &dense()).expect("a kernel");
    assert!(!y.requires_grad());
    let trained = weight.copy().set_requires_grad(true);
    conv2d(&x, &trained, None, &dense()).expect("a kernel").sum(Kind::Float).backward();
    assert!(trained.grad().defined() && !x.grad().defined());
    let leaf = x.copy().set_requires_grad(true);
    conv2d(&leaf, &weight, None, &dense()).expect("a kernel").sum(Kind::Float).backward();
    assert!(leaf.grad().defined() && !weight.grad().defined());
}

/// Whatever the table does not list is libtorch's: other kinds of numbers, strides, groups, few channels, empty batches.
#[test]
fn other_layers_are_left_to_libtorch() {
    set_enabled(true);
    let weight = Tensor::randn([64, 64, 3, 3], CPU);
    let x = Tensor::randn([1, 64, 8, 8], CPU);
    let ask = |x: &Tensor, weight: &Tensor, conv: Conv| conv2d(x, weight, None, &conv).is_some();
    assert!(ask(&x, &weight, dense()));
    assert!(!ask(&x.to_kind(Kind::Double), &weight.to_kind(Kind::Double), dense()));
    assert!(!ask(&x, &weight, Conv { stride: 2, ..dense() }));
    assert!(!ask(&x, &weight, Conv { padding: [0, 0], ..dense() }));
    assert!(!ask(&Tensor::zeros([0, 64, 8, 8], CPU), &weight, dense()));
    assert!(!ask(&x.narrow(1, 0, 32), &weight.narrow(1, 0, 32), Conv { groups: 2, ..dense() }));
    assert!(!ask(&x.narrow(1, 0, 16), &weight.narrow(1, 0, 16), dense()));
}

/// Bits do not depend on the number of threads.
#[test]
fn repeats_bit_for_bit() {
    set_enabled(true);
    tch::manual_seed(4);
    let layer = Layer::new([80, 96, 3, 3], true, dense());
    let x = Tensor::randn([3, 96, 23, 19], CPU);
    let run = |threads: i32| {
        tch::set_num_threads(threads);
        let (x, weight) = (x.copy().set_requires_grad(true), layer.weight.detach().copy().set_requires_grad(true));
        let grads = [x.shallow_clone(), weight.shallow_clone()];
        conv2d(&x, &weight, None, &layer.conv).expect("a kernel").square().sum(Kind::Float).backward();
        grads.map(|t| t.grad())
    };
    let (one, three) = (run(1), run(3));
    assert!(one.iter().zip(&three).all(|(a, b)| a.equal(b)));
}
