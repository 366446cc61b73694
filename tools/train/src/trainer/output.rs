//! What comes out of a batch, and of a step.

use std::time::Duration;

use repghost_heads::Losses;
use tch::{Kind, Tensor};

use crate::error::TrainError;
use crate::optim::Gradients;
use crate::together::Together;

/// What a step did, in plain numbers. No tensor is kept: a kept loss keeps its whole graph.
#[derive(Clone, Debug, Default)]
pub struct StepReport {
    /// Sum of the losses, mean over the step's batches.
    pub loss: f64,
    /// Each loss, mean over the step's batches.
    pub losses: Vec<(String, f64)>,
    /// Norm of the gradient before clipping, where it is clipped.
    pub grad_norm: Option<f64>,
    /// Images seen.
    pub images: usize,
    /// Batches seen.
    pub batches: usize,
    /// Time spent waiting for data.
    pub data: Duration,
    /// Time of the whole step.
    pub total: Duration,
}

impl StepReport {
    /// Makes the losses sums over all processes. Returns whether the user wants to stop any of them.
    pub(super) fn sum_over(&mut self, together: &Together, stops: bool) -> Result<bool, TrainError> {
        let mut values: Vec<f64> = self.losses.iter().map(|(_, v)| *v).collect();
        values.extend([self.loss, f64::from(u8::from(stops))]);
        together.group.sum(&mut values)?;
        self.losses.iter_mut().zip(&values).for_each(|((_, loss), sum)| *loss = *sum);
        let [.., loss, stops] = values[..] else { return Ok(false) };
        self.loss = loss;
        Ok(stops > 0.0)
    }
}

/// Losses and gradients of a batch, or of a shard of one.
pub(crate) struct StepOutput {
    /// Each loss by name.
    pub losses: Vec<(&'static str, f64)>,
    /// Gradients of their sum.
    pub gradients: Gradients,
}

impl StepOutput {
    /// Differentiates the sum of the losses, times `scale`, by `parameters`, and reads the losses. They are read last: on a card the backward
    /// is queued by then.
    pub fn new(losses: Losses, parameters: &[&Tensor], scale: f64) -> Result<Self, TrainError> {
        if losses.is_empty() {
            return Err(TrainError::NothingToTrain);
        }
        let scalars: Vec<Tensor> = losses.iter().map(|(_, loss)| loss.detach()).collect();
        let scalars = Tensor::f_stack(&scalars, 0)?.f_to_kind(Kind::Double)?;
        let total = losses.f_total()?;
        let total = if scale == 1.0 { total } else { total.f_mul_scalar(scale)? };
        let gradients = Gradients::by(&total, parameters)?;
        let losses: Vec<_> = losses.iter().map(|(name, _)| name).zip(Vec::<f64>::try_from(scalars)?).collect();
        Ok(Self { losses, gradients })
    }

    /// Losses and gradients, times `weight`.
    pub fn weighted(self, weight: f64) -> Result<Self, TrainError> {
        let losses = self.losses.into_iter().map(|(name, v)| (name, v * weight)).collect();
        Ok(Self { losses, gradients: self.gradients.scaled(weight)? })
    }

    /// The sum, in order.
    pub fn sum(parts: Vec<Self>) -> Result<Self, TrainError> {
        let mut sum: Option<Self> = None;
        for Self { losses, gradients } in parts {
            sum = Some(match sum {
                None => Self { losses, gradients },
                Some(mut sum) => {
                    sum.losses.iter_mut().zip(losses).for_each(|((_, total), (_, v))| *total += v);
                    Self { losses: sum.losses, gradients: sum.gradients.plus(gradients)? }
                }
            });
        }
        sum.ok_or(TrainError::NothingToTrain)
    }
}
