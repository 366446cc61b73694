//! The kernels' source, compiled for the CPU, against their definitions.

mod emulator;

use std::rc::Rc;

use emulator::{emulated, Emulator};
use repghost_backbone::synthetic::{fill_with_gain, input, DEEP_GAIN};
use repghost_backbone::{BackboneConfig, Eager, Role, Tree};
use repghost_check_cuda::ops::{all, Scale};
use repghost_check_cuda::report::relative;
use repghost_kernels::cuda::with_launcher;
use tch::{Device, Kind, Tensor};

#[test]
fn kernels_equal_their_definitions() {
    emulated(|| {
        for row in all(Device::Cpu, Scale::Small) {
            println!("{}: {:.2e} (limit {:.0e})", row.name, row.error, row.limit);
            assert!(row.passes(), "{}: {:.2e} is above {:.0e}", row.name, row.error, row.limit);
        }
    });
}

/// Outputs, gradients and running statistics of a network's step, by name.
fn step(train: bool) -> Vec<(String, Tensor)> {
    let net = BackboneConfig { width: 0.5, ..BackboneConfig::default() }.build_features().unwrap();
    fill_with_gain(&net, "", DEEP_GAIN);
    let x = input("check.network", &[2, 3, 96, 64]);
    let mut eager = if train { Eager::train() } else { Eager::eval() };
    let maps = net.features(&mut eager, &x);
    let sum: Tensor = maps.iter().map(|map| (map * input("check.network.weights", &map.size())).sum(Kind::Float)).sum();
    sum.backward();
    let mut all: Vec<(String, Tensor)> = maps.into_iter().enumerate().map(|(i, map)| (format!("map {i}"), map)).collect();
    for entry in net.named_tensors() {
        let value = if entry.role == Role::Parameter { entry.tensor.grad() } else { entry.tensor.shallow_clone() };
        if value.defined() {
            all.push((entry.name, value));
        }
    }
    all
}

/// A network on the kernels is the network without them, in training and with its running statistics.
#[test]
fn networks_run_on_the_kernels() {
    for train in [true, false] {
        let plain = step(train);
        let ours = with_launcher(Rc::new(Emulator { backwards: false }), || step(train));
        assert_eq!(plain.len(), ours.len());
        assert!(plain.len() > 100, "{} tensors compare little", plain.len());
        let mut differ = 0;
        let scale = plain.iter().map(|(_, t)| t.abs().max().double_value(&[])).fold(0.0, f64::max);
        for ((name, a), (other, b)) in plain.iter().zip(&ours) {
            assert_eq!(name, other);
            // A shift in front of a batch norm has no gradient but rounding: errors count by a tensor's largest value, or a thousandth
            // of the largest of all.
            let largest = a.abs().max().double_value(&[]);
            let error = relative(b, a) * largest / largest.max(1e-3 * scale);
            assert!(error < 5e-3, "{name}, train {train}: {error:.1e}");
            differ += usize::from(!a.equal(b));
        }
        assert!(differ > 0, "no kernel ran");
    }
}
