//! Measures whether memory stays flat: 1,500 steps of a small detector on images of many sizes.
//!
//!     cargo bench -p repghost-train --bench memory [-- STEPS]
//!
//! Prints resident memory every 100 steps, and fails where it grew by 10 % or more after the first 200.

use std::process::ExitCode;

use repghost_backbone::Eager;
use repghost_backbone::Tree;
use repghost_heads::{ImageBatch, Target};
use repghost_train::config::Experiment;
use repghost_train::detection::model;
use repghost_train::memory::resident_mib;
use repghost_train::optim::{Gradients, Grouping, Sgd, UpdateRule};
use tch::{Device, Kind, Tensor};

const WARM_UP: usize = 200;
const MAX_GROWTH: f64 = 0.10;
/// Sides of the images: 16 multiples of 32, in every combination.
const SIDES: (i64, i64) = (2, 18);

fn main() -> ExitCode {
    for (name, value) in repghost_link::settings::missing("train") {
        // In time for oneDNN, which reads it with its first convolution.
        std::env::set_var(name, value);
    }
    let steps = std::env::args().filter(|a| a != "--bench").nth(1).and_then(|n| n.parse().ok()).unwrap_or(1500);
    let mut e = Experiment::default();
    e.model.backbone.width = 0.25;
    e.model.fpn.channels = 16;
    let detector = model::build(&e, 3).expect("the settings above are sound");
    let mut slots = Grouping { weight_decay: 0.0, decay_1d: false, lr_factors: vec![] }.slots(detector.named_tensors());
    let mut optimizer = Sgd::new(0.9, false);
    let mut state = 1u64;
    let mut draw = |low: i64, high: i64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        low + (state >> 33) as i64 % (high - low)
    };
    let mut base = None;
    let mut last = 0.0;
    for step in 1..=steps {
        let drawn = (32 * draw(SIDES.0, SIDES.1), 32 * draw(SIDES.0, SIDES.1));
        // The largest size comes first: what it needs is need, not growth, whenever it would have come up by chance.
        let (h, w) = if step == 1 { (32 * (SIDES.1 - 1), 32 * (SIDES.1 - 1)) } else { drawn };
        let images = ImageBatch { pixels: Tensor::rand([2, 3, h, w], (Kind::Float, Device::Cpu)), sizes: vec![[h, w]; 2] };
        let targets = [Target::new(&[[4.0, 4.0, 40.0, 50.0]], &[1]), Target::empty()];
        let losses = detector.losses(&mut Eager::train(), &images, &targets);
        let total = losses.total();
        let gradients = Gradients::of(&total, &slots).expect("the loss depends on the weights");
        optimizer.step(&mut slots, &gradients, 1e-4).expect("shapes fit");
        last = resident_mib().unwrap_or(0.0);
        if step == WARM_UP {
            base = Some(last);
        }
        if step % 100 == 0 || step == WARM_UP {
            println!("step {step}: {last:.0} MiB");
        }
    }
    let Some(base) = base else { return ExitCode::SUCCESS };
    let growth = last / base - 1.0;
    println!("growth after the first {WARM_UP} steps: {:.1} %", 100.0 * growth);
    if growth < MAX_GROWTH {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
