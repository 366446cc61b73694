//! One optimizer step: forward, backward, accumulate, check, clip, update.

use std::sync::atomic::Ordering;
use std::time::Instant;

use repghost_backbone::dropout;

use super::feed::Feed;
use super::output::{StepOutput, StepReport};
use super::replicas::forward_backward;
use super::run::Run;
use super::Task;
use crate::error::{NotFinite, TrainError};
use crate::optim::Gradients;

impl<T: Task> Run<T> {
    /// Takes up to a step's worth of batches and updates the weights once. `None` when there are no batches left.
    pub(super) fn step(&mut self, feed: &mut Feed<T::Batch>) -> Result<Option<StepReport>, TrainError> {
        let started = Instant::now();
        // All that this step draws depends on the seed and the step only: a resumed run draws the same.
        dropout::seed_step(self.progress.seed, self.progress.step);
        self.task.seed_step(self.progress.seed, self.progress.step);
        let mut report = StepReport::default();
        let scale = self.progress.loss_scale.map_or(1.0, |s| s.scale);
        let mut sum: Option<Gradients> = None;
        let mut seen = vec![];
        while report.batches < self.plan.accumulate {
            let Some(batch) = feed.next().transpose()? else { break };
            let images = self.task.images(&batch);
            report.batches += 1;
            let part = match &self.together {
                Some(together) => Some(together.part(if self.task.is_placeholder(&batch) { 0 } else { images.len() })?),
                None => None,
            };
            report.images += part.map_or(images.len(), |part| part.share.images);
            seen.extend(images);
            let draws = [self.progress.seed, self.progress.step];
            let output = forward_backward(
                &self.task,
                &mut self.replicas,
                &self.params,
                batch,
                draws,
                scale,
                self.together.as_ref().zip(part),
            )?;
            let StepOutput { losses, gradients } = output;
            self.note_losses(losses, &mut report, &seen)?;
            sum = Some(match sum {
                Some(sum) => sum.plus(gradients)?,
                None => gradients,
            });
        }
        let Some(mut gradients) = sum else { return Ok(None) };
        if let Some(together) = &self.together {
            gradients = together.sum(gradients, &self.params)?;
            self.stops = report.sum_over(together, self.stop.load(Ordering::Relaxed))?;
        }
        let share = 1.0 / report.batches as f64;
        if share * scale.recip() != 1.0 {
            gradients = gradients.scaled(share / scale)?;
        }
        report.loss *= share;
        report.losses.iter_mut().for_each(|(_, v)| *v *= share);
        if self.clip_grad_norm.is_some() || self.progress.loss_scale.is_some() {
            let norm = gradients.norm()?;
            let sound = norm.is_finite() && report.loss.is_finite();
            let goes_on = match &mut self.progress.loss_scale {
                Some(scale) if sound => {
                    scale.sound();
                    true
                }
                Some(scale) => scale.overflowed(),
                None => sound,
            };
            if !goes_on {
                return Err(self.not_finite("the gradient's norm", &report.losses, Some(norm), &seen));
            }
            if !sound {
                // The scale was too large: this step changes nothing.
                (report.data, report.total) = feed.account(started.elapsed());
                return Ok(Some(report));
            }
            if let Some(max_norm) = self.clip_grad_norm {
                gradients = gradients.bounded(max_norm, norm)?;
                report.grad_norm = Some(norm);
            }
        }
        self.optimizer.step(&mut self.params, &gradients, self.lr)?;
        (report.data, report.total) = feed.account(started.elapsed());
        Ok(Some(report))
    }

    /// Adds the losses to the report, and stops the run where one is not finite.
    fn note_losses(&self, losses: Vec<(&'static str, f64)>, report: &mut StepReport, seen: &[String]) -> Result<(), TrainError> {
        let table: Vec<(String, f64)> = losses.into_iter().map(|(name, v)| (name.to_string(), v)).collect();
        // Under a loss scale the scale may be to blame: the gradient's norm decides.
        if self.progress.loss_scale.is_none() && table.iter().any(|(_, v)| !v.is_finite()) {
            return Err(self.not_finite("a loss", &table, None, seen));
        }
        report.loss += table.iter().map(|(_, v)| v).sum::<f64>();
        for (i, (name, value)) in table.into_iter().enumerate() {
            match report.losses.get_mut(i) {
                Some((_, sum)) => *sum += value,
                None => report.losses.push((name, value)),
            }
        }
        Ok(())
    }

    fn not_finite(&self, what: &'static str, losses: &[(String, f64)], norm: Option<f64>, images: &[String]) -> TrainError {
        TrainError::NotFinite(Box::new(NotFinite {
            what,
            step: self.progress.step + 1,
            epoch: self.progress.epoch + 1,
            losses: losses.to_vec(),
            gradient_norm: norm,
            lr: self.lr,
            images: images.to_vec(),
        }))
    }
}
