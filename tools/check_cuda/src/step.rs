//! A training step on a device against the same on the CPU.
//!
//! Only the first: small differences grow from step to step, as batch norms and picks are unsteady functions.

use anyhow::Result;
use repghost_backbone::{Eager, Tree};
use repghost_heads::Target;
use repghost_kernels::device::precision;
use tch::{Device, Kind, Tensor};

use crate::report::Row;
use crate::setup::{detector, images, parameters, target};

const CLASSES: i64 = 5;
const SIZE: [i64; 2] = [192, 256];
const BATCH: usize = 2;

/// Losses and gradients of a step.
struct Step {
    losses: Vec<(String, f64)>,
    gradients: Vec<(String, Tensor)>,
}

/// What hangs on the picks of the second stage's background: proposals of nearly equal scores change places with the last digits of a sum, and
/// then others are drawn.
const DRAWN: &str = "loss_classifier";

/// Compares `head` on `device` with the CPU, in single precision without TF32: losses, and gradients by groups of parameters.
///
/// # Errors
/// Unknown heads; a libtorch that refuses to be deterministic.
pub fn compare(head: &str, device: Device) -> Result<Vec<Row>> {
    precision::allow_tf32(false)?;
    let (cpu, other) = (step(head, Device::Cpu)?, step(head, device)?);
    let mut rows = Vec::new();
    for ((name, want), (_, got)) in cpu.losses.iter().zip(&other.losses) {
        let limit = if name == DRAWN { 2e-2 } else { 1e-4 };
        rows.push(Row::new(format!("{head} {name}"), (got - want).abs() / want.abs().max(1e-3), limit));
    }
    // Where picks are drawn, only the parts before and beside them can be compared.
    let groups: &[&str] = if head == "retinanet" { &[""] } else { &["rpn.", "roi_heads.mask"] };
    for group in groups {
        let norm = |t: &Tensor| t.to_device(Device::Cpu).to_kind(Kind::Double).norm().double_value(&[]);
        let pairs = cpu.gradients.iter().zip(&other.gradients).filter(|((name, _), _)| name.starts_with(group));
        let (mut apart, mut size) = (0.0, 0.0);
        for ((_, want), (_, got)) in pairs {
            apart += norm(&(want - got.to_device(Device::Cpu))).powi(2);
            size += norm(want).powi(2);
        }
        let what = if group.is_empty() { "all parameters" } else { group };
        rows.push(Row::new(format!("{head} gradients of {what}, distance by norm"), (apart / size).sqrt(), 2e-3));
    }
    Ok(rows)
}

fn step(head: &str, device: Device) -> Result<Step> {
    let model = detector(head, 0.5, 64, CLASSES, true)?;
    model.convert(device, Kind::Float);
    model.set_sampling(3, 0);
    let batch = images("check.step", BATCH, SIZE, device);
    let targets: Vec<Target> =
        (0..BATCH).map(|i| target(&format!("check.step.{i}"), 3 * i + 1, SIZE, CLASSES, head == "mask_rcnn")).collect();
    let losses = model.losses(&mut Eager::train(), &batch, &targets);
    losses.total().backward();
    let with_gradient = parameters(&model).into_iter().filter(|(_, p)| p.grad().defined());
    Ok(Step {
        losses: losses.iter().map(|(name, value)| (name.to_string(), value.double_value(&[]))).collect(),
        gradients: with_gradient.map(|(name, p)| (name, p.grad())).collect(),
    })
}
