//! `train --dry-run`: everything built, one batch forward and backward, nothing written.

use std::fmt;
use std::time::{Duration, Instant};

use repghost_backbone::Role;
use repghost_kernels::device::memory::{usage, Usage};

use crate::auto_batch;
use crate::classification::ClassificationTask;
use crate::config::{Loaded, Task as Learned, TrainConfig};
use crate::detection::DetectionTask;
use crate::error::TrainError;
use crate::memory::{self, mib};
use crate::run::progress::duration;
use crate::runtime;
use crate::trainer::{forward_backward, ImageTask, Plan, Replicas};

/// Steps timed; the first one compiles kernels and is left out.
const TIMED_STEPS: usize = 2;

/// What was seen.
#[derive(Clone, Debug)]
pub struct DryRun {
    notes: Vec<String>,
    backbone: String,
    parameters: i64,
    trained: i64,
    batch: [usize; 4],
    taps: Vec<String>,
    losses: Vec<(&'static str, f64)>,
    step: Duration,
    data: Duration,
    peak_mib: Option<f64>,
    card: Option<Usage>,
    plan: Plan,
    images: [usize; 2],
}

/// Builds the experiment and runs a batch.
///
/// # Errors
/// As a real run.
pub fn dry_run(loaded: &Loaded) -> Result<DryRun, TrainError> {
    let sized = loaded.auto_batch.then(|| auto_batch::chosen(loaded, 1)).transpose()?;
    let loaded = sized.as_ref().map_or(loaded, |(sized, _)| sized);
    let config = &loaded.experiment.train;
    runtime::set_threads(loaded.experiment.train.threads);
    let mut seen = match loaded.experiment.task {
        Learned::Detection => look_at(&DetectionTask::new(loaded)?, config),
        Learned::Classification => look_at(&ClassificationTask::new(loaded)?, config),
    }?;
    seen.notes.extend(sized.map(|(_, line)| line));
    Ok(seen)
}

fn look_at(task: &impl ImageTask, config: &TrainConfig) -> Result<DryRun, TrainError> {
    let plan = Plan::new(config, task.batches_per_epoch())?;
    let params = config.optimizer.grouping().slots(task.network().named_tensors());
    let reading = Instant::now();
    let Some(batch) = task.batches(0, 0)?.next().transpose()? else {
        return Err(TrainError::NoImages { purpose: "to train on" });
    };
    let data = reading.elapsed();
    let shape = batch.batch.shape;
    let mut replicas = Replicas::from_config(task, &params, config)?;
    let mut losses = vec![];
    let mut step = Duration::MAX;
    for number in 0..=TIMED_STEPS as u64 {
        let started = Instant::now();
        let output = forward_backward(task, &mut replicas, &params, batch.clone(), [config.seed, number], 1.0, None)?;
        output.gradients.norm()?;
        step = step.min(started.elapsed());
        losses = output.losses;
    }
    let network = task.network().named_tensors();
    let body = task.backbone();
    Ok(DryRun {
        notes: task.notes().to_vec(),
        backbone: body.name.clone(),
        parameters: network.iter().filter(|e| e.role == Role::Parameter).map(|e| e.tensor.numel() as i64).sum(),
        trained: params.iter().map(|s| s.tensor.numel() as i64).sum(),
        batch: shape,
        taps: body
            .tap_names()
            .into_iter()
            .zip(body.taps())
            .map(|(name, t)| format!("{name} {} channels, stride {}", t.channels, t.stride))
            .collect(),
        losses,
        step,
        data,
        peak_mib: memory::peak_mib(),
        card: params.first().map(|p| usage(p.tensor.device())).transpose()?.flatten(),
        images: task.image_counts(),
        plan,
    })
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        let p = &self.plan;
        writeln!(f, "model: {}, {} parameters, {} of them trained", self.backbone, self.parameters, self.trained)?;
        writeln!(f, "taps: {}", self.taps.join("; "))?;
        writeln!(f, "batch: {:?} (images, channels, height, width), read in {:.2} s", self.batch, self.data.as_secs_f64())?;
        let losses: Vec<String> = self.losses.iter().map(|(n, v)| format!("{n} {v:.4}")).collect();
        writeln!(f, "losses: {}", losses.join(", "))?;
        writeln!(f, "schedule: {} epochs of {} steps; rate {:.3e}", p.epochs, p.steps_per_epoch, p.base_lr)?;
        writeln!(f, "step: {:.2} s forward and backward", self.step.as_secs_f64())?;
        if let Some(peak) = self.peak_mib {
            writeln!(f, "memory: {peak:.0} MiB at most so far")?;
        }
        if let Some(card) = self.card {
            let of = if card.total > 0 { format!(" of {:.0}", mib(card.total)) } else { String::new() };
            writeln!(f, "memory of the card: {:.0} MiB at most, {:.0} held{of}", mib(card.peak), mib(card.peak_held))?;
        }
        let batches = (p.stop_at * p.accumulate as u64) as f64;
        let total = self.step.mul_f64(batches);
        writeln!(
            f,
            "time: about {} for {} steps on {} images, evaluations not counted",
            duration(total),
            p.stop_at,
            self.images[0]
        )
    }
}
