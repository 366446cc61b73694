//! Three training steps on a device against the same on the CPU.

use anyhow::Result;
use repghost_backbone::{Eager, Tree};
use repghost_heads::{Detector, ImageBatch, Target};
use repghost_kernels::device::precision;
use tch::{Device, Kind, Tensor};

use crate::report::Row;
use crate::setup::{detector, images, parameters, target};

const STEPS: usize = 3;
const RATE: f64 = 1e-3;
const MOMENTUM: f64 = 0.9;
const CLASSES: i64 = 5;
const SIZE: [i64; 2] = [192, 256];
const BATCH: usize = 2;

/// Losses of each step and the parameters after the last.
struct Course {
    losses: Vec<Vec<(String, f64)>>,
    gradients: Vec<(String, Tensor)>,
    parameters: Vec<(String, Tensor)>,
}

/// Compares `head` on `device` with the CPU, in single precision without TF32: losses, first gradients, and parameters after three steps.
///
/// # Errors
/// Unknown heads; a libtorch that refuses to be deterministic.
pub fn compare(head: &str, device: Device) -> Result<Vec<Row>> {
    precision::allow_tf32(false)?;
    let (cpu, other) = (course(head, Device::Cpu)?, course(head, device)?);
    let mut rows = Vec::new();
    for (step, (want, got)) in cpu.losses.iter().zip(&other.losses).enumerate() {
        // Small differences grow from step to step: what is sampled, and the batch norms, are unsteady functions.
        let limit = [1e-4, 1e-3, 1e-2][step];
        for ((name, want), (_, got)) in want.iter().zip(got) {
            rows.push(Row::new(format!("{head} step {step} {name}"), (got - want).abs() / want.abs().max(1e-3), limit));
        }
    }
    let norm = |t: &Tensor| t.to_device(Device::Cpu).to_kind(Kind::Double).norm().double_value(&[]);
    let total = |all: &[(String, Tensor)]| all.iter().map(|(_, t)| norm(t).powi(2)).sum::<f64>().sqrt();
    let distance = |a: &[(String, Tensor)], b: &[(String, Tensor)]| {
        let apart = |((_, a), (_, b)): (&(String, Tensor), &(String, Tensor))| norm(&(a - b.to_device(a.device()))).powi(2);
        a.iter().zip(b).map(apart).sum::<f64>().sqrt()
    };
    let gradients = distance(&cpu.gradients, &other.gradients) / total(&cpu.gradients);
    rows.push(Row::new(format!("{head} gradients of the first step, distance by norm"), gradients, 1e-3));
    let parameters = distance(&cpu.parameters, &other.parameters) / total(&cpu.parameters);
    rows.push(Row::new(format!("{head} parameters after {STEPS} steps, distance by norm"), parameters, 1e-4));
    Ok(rows)
}

fn course(head: &str, device: Device) -> Result<Course> {
    let model = detector(head, 0.5, 64, CLASSES, true)?;
    model.convert(device, Kind::Float);
    model.set_sampling(3, 0);
    let batch = images("check.step", BATCH, SIZE, device);
    let targets: Vec<Target> =
        (0..BATCH).map(|i| target(&format!("check.step.{i}"), 3 * i + 1, SIZE, CLASSES, head == "mask_rcnn")).collect();
    let named = parameters(&model);
    let mut velocity: Vec<Tensor> = named.iter().map(|(_, p)| p.zeros_like()).collect();
    let mut course = Course { losses: Vec::new(), gradients: Vec::new(), parameters: Vec::new() };
    for step in 0..STEPS {
        course.losses.push(one_step(&model, &batch, &targets));
        if step == 0 {
            course.gradients =
                named.iter().filter(|(_, p)| p.grad().defined()).map(|(n, p)| (n.clone(), p.grad().copy())).collect();
        }
        tch::no_grad(|| {
            for ((_, parameter), velocity) in named.iter().zip(&mut velocity) {
                let mut grad = parameter.grad();
                if !grad.defined() {
                    continue;
                }
                let _ = velocity.g_mul_scalar_(MOMENTUM).g_add_(&grad);
                let _ = parameter.shallow_clone().g_sub_(&(&*velocity * RATE));
                let _ = grad.zero_();
            }
        });
    }
    course.parameters = named.into_iter().map(|(n, p)| (n, p.detach().copy())).collect();
    Ok(course)
}

fn one_step(model: &Detector, batch: &ImageBatch, targets: &[Target]) -> Vec<(String, f64)> {
    let losses = model.losses(&mut Eager::train(), batch, targets);
    losses.total().backward();
    losses.iter().map(|(name, value)| (name.to_string(), value.double_value(&[]))).collect()
}
