//! Synthetic weights and inputs: deterministic values derived from a tensor's name.
//!
//! Parity fixtures need the same weights in Python and in Rust. A rule that both sides compute (`tools/fixtures/synthetic.py` is the
//! other side) keeps the fixtures small: they hold outputs only. Parity checks and benchmarks use it too, for repeatable inputs and for
//! networks whose batch-norm statistics are not trivial.
//!
//! Element `k` of tensor `name` is `u = 2 * (splitmix64(fnv1a64(name) + k) >> 40) / 2^24 - 1`, in `[-1, 1)`, and then
//!
//! | tensor | value |
//! |---|---|
//! | `*.running_mean` | `0.1 u` |
//! | `*.running_var` | `1 + 0.5 u` |
//! | 1-D `*.weight` (norms) | `gain (1 + 0.2 u)` |
//! | other 1-D (biases) | `0.1 u` |
//! | weights of more dimensions | `u * sqrt(3 / fan_in)`, `fan_in` the product of all dimensions but the first |
//! | integers | unchanged |
//!
//! The gain is 1 by default. Networks with many sums need less ([`DEEP_GAIN`]): with 1, each sum raises the activations' variance, and
//! absolute tolerances lose their meaning.

use tch::Tensor;

use crate::mix::{mix64, GAMMA};
use crate::module::Tree;

fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// `n` values in `[-1, 1)` that depend only on `name`.
pub fn uniform(name: &str, n: usize) -> Vec<f32> {
    let seed = fnv1a64(name);
    (0..n as u64).map(|k| (mix64(seed.wrapping_add(k).wrapping_add(GAMMA)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

/// A single-precision tensor of the given shape with values in `[-1, 1)` that depend only on `name`.
pub fn input(name: &str, shape: &[i64]) -> Tensor {
    Tensor::from_slice(&uniform(name, shape.iter().product::<i64>() as usize)).view(shape)
}

/// A gain at which RepGhostNet's feature maps and logits stay below ten.
pub const DEEP_GAIN: f64 = 0.8;

/// Overwrites every floating-point tensor below `tree` by the rule; `prefix` is put before each name.
pub fn fill(tree: &dyn Tree, prefix: &str) {
    fill_with_gain(tree, prefix, 1.0);
}

/// [`fill`] with another gain of the norms.
pub fn fill_with_gain(tree: &dyn Tree, prefix: &str, gain: f64) {
    tch::no_grad(|| {
        for mut entry in tree.named_tensors() {
            if !entry.tensor.is_floating_point() {
                continue;
            }
            let shape = entry.tensor.size();
            let name = format!("{prefix}{}", entry.name);
            let u = input(&name, &shape);
            let value = if name.ends_with("running_mean") {
                u * 0.1
            } else if name.ends_with("running_var") {
                u * 0.5 + 1.0
            } else if shape.len() == 1 && name.ends_with("weight") {
                (u * 0.2 + 1.0) * gain
            } else if shape.len() == 1 {
                u * 0.1
            } else {
                let fan_in: i64 = shape[1..].iter().product();
                u * (3.0 / fan_in as f64).sqrt()
            };
            entry.tensor.copy_(&value);
        }
    })
}

#[cfg(test)]
mod tests {
    /// The constants are printed by `tools/fixtures/synthetic.py` when run as a script.
    #[test]
    fn equals_the_python_side() {
        let u = super::uniform("conv_stem.weight", 3);
        assert_eq!(u, FILL_PY);
    }

    #[allow(clippy::excessive_precision)]
    const FILL_PY: [f32; 3] = [-0.06098127365112305, 0.437999963760376, 0.8915539979934692];
}
