//! Batch norm in training against libtorch's in double precision: outputs, running statistics and all gradients.

use repghost_kernels::cpu::{batch_norm_sum, set_enabled, Normed};
use tch::{Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const MOMENTUM: f64 = 0.1;
const EPS: f64 = 1e-5;

/// A map with its norm.
struct Part {
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running: [Tensor; 2],
}

impl Part {
    /// Values far from zero mean, so that cancellation would show.
    fn new(size: [i64; 4]) -> Self {
        let channels = [size[1]];
        let leaf = |t: Tensor| t.set_requires_grad(true);
        Self {
            x: leaf(Tensor::randn(size, CPU) * 3.0 + 5.0),
            weight: leaf(Tensor::rand(channels, CPU) + 0.5),
            bias: leaf(Tensor::randn(channels, CPU)),
            running: [Tensor::randn(channels, CPU), Tensor::rand(channels, CPU)],
        }
    }

    fn to_double(&self) -> Self {
        let leaf = |t: &Tensor| t.detach().to_kind(Kind::Double).set_requires_grad(true);
        Self {
            x: leaf(&self.x),
            weight: leaf(&self.weight),
            bias: leaf(&self.bias),
            running: self.running.each_ref().map(|t| t.to_kind(Kind::Double)),
        }
    }

    fn normed(&self) -> Normed<'_> {
        let running = self.running.each_ref();
        Normed { x: &self.x, weight: &self.weight, bias: &self.bias, running, momentum: MOMENTUM, eps: EPS }
    }

    /// Mean in units of the deviation: what rounding of the mean is multiplied by in every value that is normed.
    fn condition(&self) -> f64 {
        let (variance, mean) = self.x.detach().var_mean_dim([0i64, 2, 3].as_slice(), false, false);
        largest(&(mean / (variance + EPS).sqrt())).max(1.0)
    }

    /// Size of the terms that the gradient of `x` is a difference of: `weight / deviation` per gradient of the output. Of two values the norm
    /// is 1 and -1 whatever they are, so that all of it cancels.
    fn terms(&self, gradient: &Tensor) -> f64 {
        let (variance, _) = self.x.detach().var_mean_dim([0i64, 2, 3].as_slice(), false, false);
        largest(&(self.weight.detach() / (variance + EPS).sqrt())) * largest(gradient) * self.condition()
    }

    fn right(&self) -> Tensor {
        let [mean, variance] = &self.running;
        self.x.batch_norm(Some(&self.weight), Some(&self.bias), Some(mean), Some(variance), true, MOMENTUM, EPS, false)
    }
}

fn largest(t: &Tensor) -> f64 {
    t.abs().max().double_value(&[])
}

/// Largest difference over largest value.
fn error(found: &Tensor, right: &Tensor) -> f64 {
    error_over(found, right, largest(right).max(1e-3))
}

/// Largest difference over a scale.
fn error_over(found: &Tensor, right: &Tensor, scale: f64) -> f64 {
    assert_eq!(found.size(), right.size());
    largest(&(found.to_kind(Kind::Double) - right)) / scale
}

#[test]
fn equals_libtorch_in_double_precision() {
    set_enabled(true);
    tch::manual_seed(5);
    for size in [[2i64, 3, 1, 1], [1, 5, 2, 1], [2, 8, 5, 7], [3, 12, 40, 40], [4, 1, 33, 65]] {
        for (count, relu) in [(1, false), (1, true), (2, false), (2, true)] {
            let parts: Vec<Part> = (0..count).map(|_| Part::new(size)).collect();
            let doubles: Vec<Part> = parts.iter().map(Part::to_double).collect();
            let normed: Vec<Normed> = parts.iter().map(Part::normed).collect();
            let y = batch_norm_sum(&normed, relu).expect("a kernel");
            let sum = doubles.iter().map(Part::right).reduce(|a, b| a + b).unwrap();
            // Values within rounding of zero would be on either side of the ReLU.
            assert!(!relu || sum.abs().min().double_value(&[]) > 1e-6, "{size:?}: choose another seed");
            let right = if relu { sum.relu() } else { sum };
            let one = Tensor::ones([1], (Kind::Double, Device::Cpu));
            let terms = doubles.iter().map(|part| part.terms(&one)).fold(largest(&right), f64::max);
            let e = error_over(&y.detach(), &right.detach(), terms);
            assert!(e < 1e-6, "{count} maps of {size:?}: output off by {e:.1e}");
            let factor = Tensor::randn(size, CPU);
            (&y * &factor).sum(Kind::Float).backward();
            (&right * factor.to_kind(Kind::Double)).sum(Kind::Double).backward();
            for (part, double) in parts.iter().zip(&doubles) {
                for (found, right) in part.running.iter().zip(&double.running) {
                    let e = error(found, right);
                    assert!(e < 1e-6, "{size:?}: running statistics off by {e:.1e}");
                }
                let (found, right) = (part.x.grad(), double.x.grad());
                let scale = double.terms(&factor).max(largest(&right));
                let e = error_over(&found, &right, scale);
                assert!(e < 1e-6, "{count} maps of {size:?}, relu {relu}: gradient of x off by {e:.1e}");
                for (found, right) in [(&part.weight, &double.weight), (&part.bias, &double.bias)] {
                    // A sum of as many products as there are values, which may be near zero by chance.
                    let terms = factor.norm().double_value(&[]) / (size[1] as f64).sqrt() * double.condition();
                    let right = right.grad();
                    let e = error_over(&found.grad(), &right, terms.max(largest(&right)));
                    assert!(e < 1e-5, "{count} maps of {size:?}, relu {relu}: gradient of {:?} off by {e:.1e}", found.size());
                }
            }
        }
    }
}

#[test]
fn only_wanted_gradients_are_made() {
    set_enabled(true);
    let part = Part::new([2, 4, 3, 3]);
    let x = part.x.detach();
    let fixed = Normed { x: &x, ..part.normed() };
    batch_norm_sum(&[fixed], true).expect("a kernel").sum(Kind::Float).backward();
    assert!(part.weight.grad().defined() && !part.x.grad().defined());
}

/// Other kinds of numbers, single values and longer sums are libtorch's.
#[test]
fn the_rest_is_left_to_libtorch() {
    set_enabled(true);
    let [single, part] = [Part::new([1, 4, 1, 1]), Part::new([2, 4, 3, 3])];
    assert!(batch_norm_sum(&[single.normed()], false).is_none());
    assert!(batch_norm_sum(&[part.to_double().normed()], false).is_none());
    assert!(batch_norm_sum(&[part.normed(), part.normed(), part.normed()], false).is_none());
}

/// Bits do not depend on the number of threads.
#[test]
fn repeats_bit_for_bit() {
    set_enabled(true);
    tch::manual_seed(6);
    let (a, b) = (Part::new([8, 24, 50, 50]), Part::new([8, 24, 50, 50]));
    let run = |threads: i32| {
        tch::set_num_threads(threads);
        let leaves = [&a.x, &b.x].map(|x| x.detach().copy().set_requires_grad(true));
        let normed = [Normed { x: &leaves[0], ..a.normed() }, Normed { x: &leaves[1], ..b.normed() }];
        let y = batch_norm_sum(&normed, true).expect("a kernel");
        y.square().sum(Kind::Float).backward();
        let grads = leaves.map(|x| x.grad());
        (y, grads)
    };
    let (one, three) = (run(1), run(3));
    assert!(one.0.equal(&three.0) && one.1.iter().zip(&three.1).all(|(a, b)| a.equal(b)));
}
