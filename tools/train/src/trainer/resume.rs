//! Where a run continues from a checkpoint.
//!
//! With the settings and the data of the checkpoint it continues at the very next batch, bit for bit. With another batch size, accumulation or
//! number of images the same *part of the epoch* counts as done, so that the run keeps its length in epochs: position and schedule are those of
//! a run that had these settings from the start, while steps go on being numbered from where they were.

use super::Plan;
use crate::checkpoint::{EpochLayout, Progress};

/// A position in the present plan.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Position {
    /// Epoch (from 0) of the next batch.
    pub epoch: usize,
    /// Batches of it that are done.
    pub batch: usize,
    /// Added to a step to get its place in the schedule.
    pub schedule_shift: i64,
    /// What changed, for the user.
    pub note: Option<String>,
}

/// Translates a checkpoint's position into the present plan's.
pub(super) fn position(progress: &Progress, plan: &Plan, now: &EpochLayout) -> Position {
    let same = Position {
        epoch: progress.epoch,
        batch: progress.batch,
        schedule_shift: progress.schedule_shift,
        note: progress.layout.as_ref().and_then(|before| rate_change(before, now)),
    };
    let before = match &progress.layout {
        Some(before) if !before.same_batches(now) => before,
        // A checkpoint without a layout was written by version 0.1.0: its batches are taken to be the present ones.
        _ if progress.batch < now.batches => return same,
        _ => now,
    };
    let done = (progress.batch as f64 / before.batches.max(1) as f64).min(1.0);
    let steps = (done * now.batches as f64 / now.accumulate as f64).round() as usize;
    let (epoch, batch) = match steps * now.accumulate {
        batch if batch >= now.batches => (progress.epoch + 1, 0),
        batch => (progress.epoch, batch),
    };
    let place = epoch as i64 * plan.steps_per_epoch as i64 + (batch / now.accumulate) as i64;
    Position { epoch, batch, schedule_shift: place - progress.step as i64, note: Some(changes(before, now, done)) }
}

fn changes(before: &EpochLayout, now: &EpochLayout, done: f64) -> String {
    let mut keys = vec![];
    let mut changed = |key: &str, from: usize, to: usize| {
        if from != to {
            keys.push(format!("{key} {from} -> {to}"));
        }
    };
    changed("train.batch_size", before.batch_size, now.batch_size);
    changed("train.accumulate", before.accumulate, now.accumulate);
    if let (Some(from), Some(to)) = (before.images, now.images) {
        changed("images to train on", from, to);
    }
    changed("batches per epoch", before.batches, now.batches);
    let rate = rate_change(before, now).map_or(String::new(), |rate| format!("; {rate}"));
    let at = match now.images {
        Some(images) => format!("image {} of {images}", (done * images as f64).round()),
        None => format!("{:.1} % of the epoch", 100.0 * done),
    };
    format!("changed since the checkpoint: {}{rate}; the epoch continues at {at}", keys.join(", "))
}

fn rate_change(before: &EpochLayout, now: &EpochLayout) -> Option<String> {
    let apart = (before.base_lr - now.base_lr).abs() > 1e-12 * now.base_lr.abs();
    apart.then(|| format!("learning rate {:.3e} -> {:.3e} (before its schedule)", before.base_lr, now.base_lr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::FORMAT;
    use crate::config::TrainConfig;

    fn plan(batch_size: usize, accumulate: usize, batches: usize) -> (Plan, EpochLayout) {
        let config = TrainConfig { epochs: 4, batch_size, accumulate, ..TrainConfig::default() };
        let plan = Plan::new(&config, batches).unwrap();
        let layout = plan.layout(Some(batch_size * batches));
        (plan, layout)
    }

    fn progress(step: u64, epoch: usize, batch: usize, layout: Option<EpochLayout>) -> Progress {
        Progress {
            format: FORMAT,
            step,
            epoch,
            batch,
            seed: 0,
            ema_updates: 0,
            best: None,
            seconds: 0.0,
            config_hash: String::new(),
            layout,
            schedule_shift: 0,
            sums: Default::default(),
            loss_scale: None,
            time_end: None,
        }
    }

    #[test]
    fn nothing_moves_where_nothing_changed() {
        let (plan, layout) = plan(4, 1, 24);
        let found = position(&progress(30, 1, 6, Some(layout.clone())), &plan, &layout);
        assert_eq!(found, Position { epoch: 1, batch: 6, schedule_shift: 0, note: None });
        assert_eq!(position(&progress(30, 1, 6, None), &plan, &layout).batch, 6);
    }

    /// 96 images in batches of 4 are 24 steps per epoch; a checkpoint after 30 steps is at image 24 of epoch 2. In batches of 8 that is
    /// batch 3 of 12, and 15 steps of the new kind are done; 33 more make 4 epochs, so the run ends at step 63.
    #[test]
    fn a_doubled_batch_keeps_the_length_in_epochs() {
        let (_, before) = plan(4, 1, 24);
        let (now_plan, now) = plan(8, 1, 12);
        let found = position(&progress(30, 1, 6, Some(before)), &now_plan, &now);
        assert_eq!((found.epoch, found.batch, found.schedule_shift), (1, 3, 15 - 30));
        let note = found.note.unwrap();
        for part in ["train.batch_size 4 -> 8", "batches per epoch 24 -> 12", "image 24 of 96"] {
            assert!(note.contains(part), "{part} in {note}");
        }
        assert_eq!(now_plan.shifted(found.schedule_shift).stop_at, 63);
    }

    /// Positions beyond the present epoch, as fewer images or a checkpoint of version 0.1.0 may bring, start the next one.
    #[test]
    fn a_position_behind_the_last_batch_is_the_next_epoch() {
        let (plan_now, now) = plan(4, 1, 5);
        let found = position(&progress(30, 1, 6, None), &plan_now, &now);
        assert_eq!((found.epoch, found.batch), (2, 0));
    }

    /// 10 batches, 4 to a step: positions are whole steps, so that the steps left of the epoch are what the plan counts.
    #[test]
    fn positions_are_whole_steps() {
        let (_, before) = plan(4, 1, 10);
        let (plan, now) = plan(4, 4, 10);
        let found = position(&progress(15, 1, 5, Some(before)), &plan, &now);
        assert_eq!((found.epoch, found.batch, found.schedule_shift), (1, 4, 4 - 15));
    }
}
