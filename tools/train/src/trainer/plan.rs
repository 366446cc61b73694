//! The course of a run, worked out before its first step.

use crate::checkpoint::EpochLayout;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::schedule::{scaled_lr, Schedule};

/// Lengths and rates of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Passes over the data.
    pub epochs: usize,
    /// Batches in a pass.
    pub batches_per_epoch: usize,
    /// Batches in an optimizer step.
    pub accumulate: usize,
    /// Optimizer steps in a pass; the last one may have fewer batches.
    pub steps_per_epoch: u64,
    /// Optimizer steps that the schedule plans for.
    pub total_steps: u64,
    /// The run ends after so many steps (`max_steps`).
    pub stop_at: u64,
    /// The rate that the schedule's factors are for.
    pub base_lr: f64,
    /// The factors.
    pub schedule: Schedule,
    /// Images per batch.
    pub batch_size: usize,
    /// Added to a step to get its place in the schedule; not 0 in runs that were resumed with other batches.
    pub schedule_shift: i64,
    max_steps: Option<u64>,
    /// The run ends here for lack of time (`train.max_minutes`), and its schedule is compressed to the steps before.
    time_end: Option<u64>,
}

impl Plan {
    /// Plans a run over `batches_per_epoch` batches.
    ///
    /// # Errors
    /// When there are no batches.
    pub fn new(c: &TrainConfig, batches_per_epoch: usize) -> Result<Self, TrainError> {
        if batches_per_epoch == 0 {
            return Err(TrainError::NoImages { purpose: "to train on" });
        }
        let accumulate = c.accumulate.max(1);
        let steps_per_epoch = batches_per_epoch.div_ceil(accumulate) as u64;
        let epochs = c.steps.map_or(c.epochs, |steps| steps.div_ceil(steps_per_epoch).max(1) as usize);
        let total_steps = steps_per_epoch * epochs as u64;
        let base_lr = scaled_lr(c.optimizer.lr, (c.batch_size * accumulate) as u64, c.base_batch_size.map(|b| b as u64));
        Ok(Self {
            epochs,
            batches_per_epoch,
            accumulate,
            steps_per_epoch,
            total_steps,
            stop_at: stop_at(total_steps, 0, c.max_steps),
            base_lr,
            schedule: c.schedule.build(c.optimizer.lr, steps_per_epoch, total_steps),
            batch_size: c.batch_size,
            schedule_shift: 0,
            max_steps: c.max_steps,
            time_end: None,
        })
    }

    /// The plan of a run whose steps are numbered otherwise: step `s` is at place `s + shift` of the schedule.
    pub fn shifted(&self, shift: i64) -> Self {
        Self { schedule_shift: shift, stop_at: stop_at(self.total_steps, shift, self.max_steps), ..self.clone() }
    }

    /// The step at which the run would end with time enough.
    pub fn stop_at_without_limit(&self) -> u64 {
        stop_at(self.total_steps, self.schedule_shift, self.max_steps)
    }

    /// The plan of a run that ends after `end` steps for lack of time; `None` lifts the limit.
    pub fn ending(&self, end: Option<u64>) -> Self {
        let full = self.stop_at_without_limit();
        Self { stop_at: end.map_or(full, |end| end.min(full)), time_end: end, ..self.clone() }
    }

    /// The rate of a step (from 0).
    pub fn lr(&self, step: u64) -> f64 {
        self.base_lr * self.schedule.factor(self.place(step))
    }

    /// The place of a step in the schedule. Where time is short, the places after the warm-up are spread over the steps that fit: the last
    /// step has the schedule's last place.
    fn place(&self, step: u64) -> u64 {
        let place = step.saturating_add_signed(self.schedule_shift);
        let Some(end) = self.time_end.map(|end| end.saturating_add_signed(self.schedule_shift)) else { return place };
        let (total, warm_up) = (self.schedule.total_steps, self.schedule.warm_up.steps);
        // A warm-up that takes most of the time is compressed too.
        let fixed = if warm_up * 2 > end { 0 } else { warm_up };
        if end >= total || place < fixed || end <= fixed + 1 {
            return place;
        }
        let share = (place - fixed) as f64 / (end - 1 - fixed) as f64;
        fixed + (share * (total - 1 - fixed) as f64).round() as u64
    }

    /// What an epoch consists of, to be compared with a checkpoint's.
    pub fn layout(&self, images: Option<usize>) -> EpochLayout {
        EpochLayout {
            batch_size: self.batch_size,
            accumulate: self.accumulate,
            batches: self.batches_per_epoch,
            images,
            base_lr: self.base_lr,
        }
    }
}

/// The step at which all steps of the schedule are done, or `max_steps`.
fn stop_at(total_steps: u64, shift: i64, max_steps: Option<u64>) -> u64 {
    let end = total_steps.saturating_add_signed(-shift);
    max_steps.map_or(end, |m| m.min(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mmdetection's 1x schedule at half its batch: 0.01 at batch 16, 500 warm-up steps, a tenth after epochs 8 and 11.
    #[test]
    fn the_1x_schedule() {
        let mut c = TrainConfig { batch_size: 8, base_batch_size: Some(16), ..Default::default() };
        c.schedule.warmup_steps = Some(500);
        let plan = Plan::new(&c, 1000).unwrap();
        assert_eq!((plan.total_steps, plan.stop_at, plan.base_lr), (12_000, 12_000, 0.005));
        let lrs = [0, 250, 500, 7_999, 8_000, 11_000].map(|s| plan.lr(s));
        let expected = [5e-6, 0.0025025, 0.005, 0.005, 0.0005, 0.00005];
        assert!(lrs.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{lrs:?}");
    }

    /// 12 epochs of 1000 steps, of which 3000 fit: the warm-up stays, the drops come at their shares, the last step has the last rate.
    #[test]
    fn a_shorter_run_has_the_whole_schedule() {
        let mut c = TrainConfig { batch_size: 8, base_batch_size: Some(16), ..Default::default() };
        c.schedule.warmup_steps = Some(500);
        let full = Plan::new(&c, 1000).unwrap();
        let short = full.ending(Some(3000));
        assert_eq!((short.stop_at, short.total_steps), (3000, 12_000));
        assert!((0..500).all(|s| short.lr(s) == full.lr(s)));
        // Of the steps after the warm-up the full run has 7500 / 11499 and 10500 / 11499 before the drops.
        let drop = |share: f64| 500 + (share * 2499.0).ceil() as u64;
        let (first, second) = (drop(7499.5 / 11_499.0), drop(10_499.5 / 11_499.0));
        let (lrs, expected) =
            ([first - 1, first, second - 1, second, 2999].map(|s| short.lr(s)), [0.005, 0.0005, 0.0005, 0.00005, 0.00005]);
        assert!(lrs.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{lrs:?}");
        assert_eq!(short.ending(None), full);
        c.schedule.name = crate::config::ScheduleName::Cosine;
        c.schedule.min_lr = 0.001;
        let (full, short) = (Plan::new(&c, 1000).unwrap(), Plan::new(&c, 1000).unwrap().ending(Some(700)));
        assert_eq!(short.lr(699), full.lr(11_999), "even where the warm-up was most of it");
        // The warm-up ends at 500 / 11999 of 699 steps: 29.1.
        assert!((1..700).all(|s| (short.lr(s) > short.lr(s - 1)) == (s <= 29) || s == 30), "up and down once");
        assert_eq!(full.ending(Some(99_999)).lr(777), full.lr(777), "time enough changes nothing");
    }

    #[test]
    fn the_last_step_of_an_epoch_may_have_fewer_batches() {
        let c = TrainConfig { accumulate: 4, epochs: 2, max_steps: Some(5), ..Default::default() };
        let plan = Plan::new(&c, 10).unwrap();
        assert_eq!((plan.steps_per_epoch, plan.total_steps, plan.stop_at), (3, 6, 5));
        assert!(Plan::new(&c, 0).is_err());
    }

    #[test]
    fn a_length_in_steps_is_rounded_up_to_epochs() {
        let c = TrainConfig { epochs: 2, steps: Some(100), ..Default::default() };
        let plan = Plan::new(&c, 7).unwrap();
        assert_eq!((plan.epochs, plan.total_steps, plan.stop_at), (15, 105, 105));
        assert_eq!(Plan::new(&c, 500).unwrap().epochs, 1);
    }
}
