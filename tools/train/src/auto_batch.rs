//! `train.batch_size: auto`: the largest batch that fits into memory.
//!
//! Memory of a step grows in proportion to the images: two batches are measured, and the line through them is followed to the share of the
//! memory that is free. On a card the result is tried, and halved where it does not fit.

use repghost_kernels::device::memory::{empty_cache, reset_peak, usage};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use tch::Device;

use crate::classification::ClassificationTask;
use crate::config::{Loaded, Task as Learned, TrainConfig};
use crate::detection::DetectionTask;
use crate::error::TrainError;
use crate::memory::{self, mib};
use crate::tensors;
use crate::trainer::{forward_backward, ImageTask, Replicas};
use crate::upload::DeviceBatch;

/// Share of the free memory that a step may take: sizes of images vary, and so does what an evaluation needs.
const SHARE: f64 = 0.7;
/// Batches that are looked at for the largest images.
const LOOKED_AT: usize = 8;
/// Batches that wait for each worker of the loader.
const WAITING: usize = 2;
/// An epoch has at least so many steps.
const STEPS: usize = 8;
/// As the schema's limit.
const MOST: usize = 4096;

/// The experiment with a batch size of its own, and a line about it. `processes` on this machine share the memory and the batch.
///
/// # Errors
/// As a real run; a batch of one image that does not fit.
pub fn chosen(loaded: &Loaded, processes: usize) -> Result<(Loaded, String), TrainError> {
    let first = loaded.experiment.train.replicas.max(2);
    let probe = loaded.with_batch_size(first)?;
    let (config, workers) = (&probe.experiment.train, probe.experiment.data.workers);
    let (fits, line) = match probe.experiment.task {
        Learned::Detection => largest(&DetectionTask::new(&probe)?, config, workers, processes)?,
        Learned::Classification => largest(&ClassificationTask::new(&probe)?, config, workers, processes)?,
    };
    Ok((loaded.with_batch_size(fits)?, line))
}

fn largest(task: &impl ImageTask, config: &TrainConfig, workers: usize, processes: usize) -> Result<(usize, String), TrainError> {
    let params = config.optimizer.grouping().slots(task.network().named_tensors());
    let device = params.first().map_or(Device::Cpu, |p| p.tensor.device());
    let area = |batch: &DeviceBatch| batch.batch.shape[2] * batch.batch.shape[3];
    let batches = task.batches(0, 0)?.take(LOOKED_AT).collect::<Result<Vec<_>, _>>()?;
    let Some(batch) = batches.into_iter().max_by_key(area) else {
        return Err(TrainError::NoImages { purpose: "to train on" });
    };
    let mut replicas = Replicas::from_config(task, &params, config)?;
    let free = free(device)? / processes.max(1) as f64;
    // Later steps reuse what earlier ones have freed, which stays resident: all are counted from here.
    let before = start(device)?;
    let mut step = |images: usize| -> Result<f64, TrainError> {
        start(device)?;
        let repeated = DeviceBatch::from(tensors::repeated(&batch.on_host()?, images));
        forward_backward(task, &mut replicas, &params, repeated, [config.seed, 0], 1.0, None)?;
        Ok((peak(device)? - before).max(0.0))
    };
    let small = batch.batch.shape[0];
    // The first step also makes what stays: kernels, buffers.
    step(small)?;
    let (few, more) = (step(2 * small)?, step(4 * small)?);
    // Batches that wait in the loader are in main memory.
    let waiting = if device.is_cuda() { 0.0 } else { (workers * WAITING + 2) as f64 };
    let [_, rest @ ..] = batch.batch.shape;
    let pixels = mib(rest.iter().product::<usize>() as u64 * size_of::<f32>() as u64);
    let each = ((more - few) / (2 * small) as f64).max(pixels) + waiting * pixels;
    let room = SHARE * free - (few - each * (2 * small) as f64).max(0.0);
    let limit = (task.image_counts()[0] / STEPS).clamp(1, MOST) / processes.max(1);
    let mut images = rounded(((room / each).floor().max(1.0) as usize).min(limit.max(1)));
    while device.is_cuda() && images > 1 && step(images).is_err() {
        empty_cache(device)?;
        images = rounded(images / 2);
    }
    let total = images * processes.max(1);
    let why = match images >= rounded(limit.max(1)) {
        true => format!("an epoch of {} images then has {STEPS} steps", task.image_counts()[0]),
        false => format!("{:.0} % of them for a step", SHARE * 100.0),
    };
    let line = format!("train.batch_size: auto is {total}: an image takes {each:.0} MiB, {free:.0} MiB are free ({why})");
    Ok((total, line))
}

/// Whole multiples of 8, which kernels like, where there are as many.
fn rounded(images: usize) -> usize {
    match images {
        0 => 1,
        1..8 => images,
        _ => images / 8 * 8,
    }
}

/// MiB that can be had.
fn free(device: Device) -> Result<f64, TrainError> {
    if let Some(card) = usage(device)? {
        // What the allocator holds and does not use is free too.
        return Ok(mib(card.free + card.held.saturating_sub(card.used)));
    }
    let system = System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()));
    // A container's limit counts cached files as used; without one, the system's own number is the better.
    let limits = system.cgroup_limits().filter(|limits| limits.total_memory < system.total_memory());
    let quota = limits.map_or(u64::MAX, |limits| limits.free_memory);
    Ok(mib(system.available_memory().min(quota)))
}

/// Lets the peak start anew; returns the MiB in use.
fn start(device: Device) -> Result<f64, TrainError> {
    if device.is_cuda() {
        reset_peak(device)?;
        return Ok(usage(device)?.map_or(0.0, |u| mib(u.used)));
    }
    Ok(memory::reset_peak())
}

fn peak(device: Device) -> Result<f64, TrainError> {
    match usage(device)? {
        Some(card) => Ok(mib(card.peak)),
        None => Ok(memory::peak_mib().unwrap_or(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_multiples_of_eight() {
        assert_eq!([0, 1, 7, 8, 23, 24].map(rounded), [1, 1, 7, 8, 16, 24]);
        assert!(free(Device::Cpu).unwrap() > 10.0);
    }
}
