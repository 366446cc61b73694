//! How fast a training step and inference are, in the protocol of `peer.py` beside this crate: the same batch again and again, already on the
//! card; forward, backward, clipping and SGD.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use repghost_backbone::{Eager, Tree};
use repghost_heads::{Detector, ImageBatch, Target};
use repghost_kernels::device::memory::{reset_peak, usage};
use repghost_kernels::device::precision::{allow_tf32, Autocast};
use repghost_kernels::device::profile::traced;
use repghost_kernels::device::stream::synchronize;
use repghost_kernels::lists::{norm, scale_by, SgdRule};
use serde::Serialize;
use tch::{Device, Kind, Tensor};

use crate::setup::{detector, images, parameters, target};

const CLASSES: i64 = 90;
const OBJECTS: usize = 7;
const MAX_NORM: f64 = 10.0;
const RULE: SgdRule = SgdRule { lr: 1e-3, weight_decay: 1e-4, momentum: 0.9, nesterov: false, first: false };

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `retinanet` or `mask_rcnn`.
    pub head: String,
    /// Width of RepGhostNet.
    pub width: f64,
    /// `fp32`, `tf32`, `bf16` or `fp16`.
    pub precision: String,
    /// Images.
    pub batch: usize,
    /// Height and width.
    pub size: [i64; 2],
    /// Steps that count; [`WARM_UP`] come before.
    pub steps: usize,
    /// Training steps, else inference.
    pub train: bool,
    /// Where a trace of one more step goes.
    pub trace: Option<PathBuf>,
}

/// Steps that don't count.
pub const WARM_UP: usize = 3;

/// The figures.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Images per second, by the median step.
    pub images_per_second: f64,
    /// Median step, milliseconds.
    pub milliseconds: f64,
    /// Most memory in use, MiB; 0 on the CPU.
    pub peak_mib: f64,
    /// Memory in use after the first and after the last step, MiB.
    pub in_use_mib: [f64; 2],
    /// Sum of the losses of the last step, or number of detections.
    pub result: f64,
}

/// Measures.
///
/// # Errors
/// Settings that make no detector; a card that refuses.
pub fn measure(plan: &Plan, device: Device) -> Result<Figures> {
    let half = match plan.precision.as_str() {
        "fp32" | "tf32" => None,
        "bf16" => Some(Kind::BFloat16),
        "fp16" => Some(Kind::Half),
        other => anyhow::bail!("there is no precision '{other}': expected fp32, tf32, bf16 or fp16"),
    };
    allow_tf32(plan.precision != "fp32")?;
    // Sizes of the second stage change from step to step, and each new one would be tried out.
    tch::Cuda::cudnn_set_benchmark(false);
    let mask = plan.head == "mask_rcnn";
    let mut model = detector(&plan.head, plan.width, 256, CLASSES, false)?;
    if !plan.train {
        model.fuse(repghost_backbone::FuseLevel::All);
    }
    model.convert(device, Kind::Float);
    let batch = images("check.speed", plan.batch, plan.size, device);
    let targets: Vec<Target> =
        (0..plan.batch).map(|i| target(&format!("check.speed.{i}"), OBJECTS, plan.size, CLASSES, mask)).collect();
    let named = parameters(&model);
    let velocity: Vec<Tensor> = named.iter().map(|(_, p)| p.detach().zeros_like()).collect();
    reset_peak(device)?;
    let memory = || -> Result<f64> { Ok(usage(device)?.map_or(0.0, |u| mib(u.used))) };
    let one = || -> Result<f64> {
        if plan.train {
            return train_step(&model, &batch, &targets, &named, &velocity, half, device);
        }
        let _autocast = half.map(|kind| Autocast::start(device, kind)).transpose()?;
        Ok(model.detect(&batch).iter().map(|d| d.len() as f64).sum())
    };
    let (mut times, mut in_use, mut result) = (Vec::new(), [0.0; 2], 0.0);
    for step in 0..WARM_UP + plan.steps {
        synchronize(device)?;
        if step == WARM_UP {
            reset_counts();
        }
        let start = Instant::now();
        result = one()?;
        synchronize(device)?;
        times.push(start.elapsed().as_secs_f64());
        if step == 0 {
            in_use[0] = memory()?;
        }
    }
    in_use[1] = memory()?;
    let mut counted = times[WARM_UP..].to_vec();
    counted.sort_by(f64::total_cmp);
    let median = *counted.get(counted.len() / 2).context("at least one step")?;
    if let Some(path) = &plan.trace {
        traced(device, path, || one().and_then(|_| Ok(synchronize(device)?)))??;
    }
    let peak_mib = usage(device)?.map_or(0.0, |u| mib(u.peak));
    Ok(Figures {
        images_per_second: plan.batch as f64 / median,
        milliseconds: 1e3 * median,
        peak_mib,
        in_use_mib: in_use,
        result,
    })
}

/// Sets the counts of `count.c` to zero, where it is loaded.
fn reset_counts() {
    // SAFETY: the function takes and returns nothing.
    let library = libloading::os::unix::Library::this();
    if let Ok(reset) = unsafe { library.get::<unsafe extern "C" fn()>(b"repghost_count_reset") } {
        unsafe { reset() };
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn train_step(
    model: &Detector,
    batch: &ImageBatch,
    targets: &[Target],
    named: &[(String, Tensor)],
    velocity: &[Tensor],
    half: Option<Kind>,
    device: Device,
) -> Result<f64> {
    let sum = {
        let _autocast = half.map(|kind| Autocast::start(device, kind)).transpose()?;
        model.losses(&mut Eager::train(), batch, targets).total()
    };
    sum.backward();
    let mut params = Vec::new();
    let mut grads = Vec::new();
    let mut moving = Vec::new();
    for ((_, parameter), velocity) in named.iter().zip(velocity) {
        let grad = parameter.grad();
        if grad.defined() {
            params.push(parameter);
            moving.push(velocity);
            grads.push(grad);
        }
    }
    let grads: Vec<&Tensor> = grads.iter().collect();
    tch::no_grad(|| -> Result<()> {
        let factor = (MAX_NORM / (norm(&grads)? + 1e-6)).clamp_max(1.0);
        scale_by(&grads, &factor)?;
        RULE.step(&params, &grads, &moving)?;
        for (_, parameter) in named {
            parameter.shallow_clone().zero_grad();
        }
        Ok(())
    })?;
    Ok(sum.double_value(&[]))
}
