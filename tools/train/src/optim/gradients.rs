//! Gradients as plain values: one optional tensor a parameter.

use tch::{Kind, Tensor};

use super::ParamSlot;
use crate::error::TrainError;

/// One gradient a parameter slot; `None` where the loss does not depend on the parameter (PyTorch's `grad is None`).
///
/// The tensors are never changed in place: autograd may hand the same storage to two parameters.
#[derive(Debug)]
pub struct Gradients(pub Vec<Option<Tensor>>);

impl Gradients {
    /// Differentiates the scalar `loss` by every slot.
    ///
    /// # Errors
    /// When the loss depends on no trained tensor, or libtorch fails.
    pub fn of(loss: &Tensor, slots: &[ParamSlot]) -> Result<Self, TrainError> {
        Self::by(loss, &slots.iter().map(|s| &s.tensor).collect::<Vec<_>>())
    }

    /// Differentiates the scalar `loss` by every one of `parameters`.
    ///
    /// # Errors
    /// When the loss depends on no trained tensor, or libtorch fails.
    pub fn by(loss: &Tensor, parameters: &[&Tensor]) -> Result<Self, TrainError> {
        if !loss.requires_grad() {
            return Err(TrainError::NothingToTrain);
        }
        let gradients = Tensor::f_run_backward(&[loss], parameters, false, false)?;
        Ok(Self(gradients.into_iter().map(|g| g.defined().then_some(g)).collect()))
    }

    /// The sum with another batch's gradients (accumulation).
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn plus(self, other: Self) -> Result<Self, TrainError> {
        let sum = self.0.into_iter().zip(other.0).map(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => a.f_add(&b).map(Some),
            (a, b) => Ok(a.or(b)),
        });
        Ok(Self(sum.collect::<Result<_, _>>()?))
    }

    /// Euclidean norm over all gradients together; 0 when there are none. Infinite or NaN when an element is.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn norm(&self) -> Result<f64, TrainError> {
        let norms = self.0.iter().flatten().map(|g| g.f_norm()).collect::<Result<Vec<_>, _>>()?;
        if norms.is_empty() {
            return Ok(0.0);
        }
        Ok(f64::try_from(Tensor::f_stack(&norms, 0)?.f_norm()?.f_to_kind(Kind::Double)?)?)
    }

    /// All gradients times a factor.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn scaled(self, factor: f64) -> Result<Self, TrainError> {
        let scaled = self.0.into_iter().map(|g| g.map(|g| g.f_mul_scalar(factor)).transpose());
        Ok(Self(scaled.collect::<Result<_, _>>()?))
    }

    /// Scales the gradients down so that their global norm is at most `max_norm`, as `torch.nn.utils.clip_grad_norm_` does. Returns
    /// the norm before clipping. A norm that is not finite leaves the gradients as they are: the caller decides.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn clipped(self, max_norm: f64) -> Result<(Self, f64), TrainError> {
        /// PyTorch's guard against a division by zero.
        const EPSILON: f64 = 1e-6;
        let norm = self.norm()?;
        let factor = max_norm / (norm + EPSILON);
        if norm.is_finite() && factor < 1.0 {
            return Ok((self.scaled(factor)?, norm));
        }
        Ok((self, norm))
    }
}
