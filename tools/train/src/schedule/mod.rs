//! Learning-rate schedules: pure functions from the step to a factor on the base rate.
//!
//! | decay | equals |
//! |---|---|
//! | [`Decay::MultiStep`] | `torch.optim.lr_scheduler.MultiStepLR` |
//! | [`Decay::Cosine`] | SGDR without restarts (Loshchilov and Hutter, 2017); per epoch it is timm's `CosineLRScheduler` |
//! | [`Decay::OneCycle`] | `torch.optim.lr_scheduler.OneCycleLR` (Smith and Topin, 2018), two cosine phases, without cycling momentum |
//!
//! A linear warm-up replaces the first steps of a decay, as `torch`'s `LinearLR` and timm compute it.

mod config;

pub use config::{ScheduleConfig, ScheduleName, ScheduleStep};

use std::f64::consts::PI;

/// How the rate falls after the warm-up.
#[derive(Clone, Debug, PartialEq)]
pub enum Decay {
    /// Not at all.
    Constant,
    /// Times `gamma` at each milestone, counted in steps.
    MultiStep {
        /// Steps from which on the rate is lower.
        milestones: Vec<u64>,
        /// Factor at each.
        gamma: f64,
    },
    /// Half a cosine from 1 to `floor` over all steps.
    Cosine {
        /// Factor at the end.
        floor: f64,
    },
    /// Up from `1 / div` in the first `rise` of all steps, then down to `floor`.
    OneCycle {
        /// Fraction of steps that rise.
        rise: f64,
        /// Base rate over first rate.
        div: f64,
        /// Factor at the end (torch's `1 / div_factor / final_div_factor`).
        floor: f64,
    },
}

/// A linear rise from `start` to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUp {
    /// Steps it takes; 0 is none.
    pub steps: u64,
    /// Factor at step 0.
    pub start: f64,
}

/// A whole schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The rise.
    pub warm_up: WarmUp,
    /// The fall.
    pub decay: Decay,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// The rate changes only every so many steps: the steps of an epoch where it is stepped per epoch, else 1.
    pub stride: u64,
}

impl Schedule {
    /// The factor on the base rate for the step (from 0).
    pub fn factor(&self, step: u64) -> f64 {
        let stride = self.stride.max(1);
        let step = step / stride * stride;
        if step < self.warm_up.steps {
            let progress = step as f64 / self.warm_up.steps as f64;
            return self.warm_up.start + (1.0 - self.warm_up.start) * progress;
        }
        self.decay.factor(step, self.total_steps)
    }
}

impl Decay {
    fn factor(&self, step: u64, total: u64) -> f64 {
        match self {
            Decay::Constant => 1.0,
            Decay::MultiStep { milestones, gamma } => gamma.powi(milestones.iter().filter(|m| step >= **m).count() as i32),
            Decay::Cosine { floor } => cosine(1.0, *floor, step as f64 / total.max(1) as f64),
            Decay::OneCycle { rise, div, floor } => {
                let top = (rise * total as f64 - 1.0).max(0.0);
                let last = (total as f64 - 1.0).max(top);
                let step = step as f64;
                if step <= top && top > 0.0 {
                    cosine(1.0 / div, 1.0, step / top)
                } else {
                    cosine(1.0, *floor, if last > top { (step - top) / (last - top) } else { 1.0 })
                }
            }
        }
    }
}

/// Half a cosine from `a` (at 0) to `b` (at 1 and beyond).
fn cosine(a: f64, b: f64, progress: f64) -> f64 {
    b + (a - b) * 0.5 * (1.0 + (PI * progress.clamp(0.0, 1.0)).cos())
}

/// The rate for a batch of `batch` images where `lr` was found with `base_batch` (linear scaling, Goyal et al., 2017). A `base_batch` of
/// `None` leaves it.
pub fn scaled_lr(lr: f64, batch: u64, base_batch: Option<u64>) -> f64 {
    match base_batch {
        Some(base) if base > 0 => lr * batch as f64 / base as f64,
        _ => lr,
    }
}
