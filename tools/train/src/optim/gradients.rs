//! Gradients as plain values: one optional tensor per parameter.

use std::collections::HashSet;

use repghost_kernels::lists;
use tch::{Kind, Tensor};

use super::ParamSlot;
use crate::error::TrainError;

/// One gradient a parameter slot; `None` where the loss does not depend on the parameter (PyTorch's `grad is None`).
///
/// On the CPU the tensors are never changed in place: autograd may hand the same storage to two parameters. On a card, where a launch per
/// tensor would cost more than the arithmetic, each gradient is made its own, laid out as its parameter, and lists are changed at once.
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
        let gradients: Vec<Option<Tensor>> = gradients.into_iter().map(|g| g.defined().then_some(g)).collect();
        if !loss.device().is_cuda() {
            return Ok(Self(gradients));
        }
        let mut seen = HashSet::new();
        let own = gradients.into_iter().zip(parameters).map(|(gradient, parameter)| {
            let Some(gradient) = gradient else { return Ok(None) };
            if seen.insert(gradient.data_ptr() as usize) && gradient.stride() == parameter.stride() {
                return Ok(Some(gradient));
            }
            let _guard = tch::no_grad_guard();
            let mut copy = parameter.f_empty_like()?.set_requires_grad(false);
            copy.f_copy_(&gradient)?;
            Ok::<_, TrainError>(Some(copy))
        });
        Ok(Self(own.collect::<Result<_, _>>()?))
    }

    /// True where the gradients are a card's.
    fn on_card(&self) -> bool {
        self.0.iter().flatten().next().is_some_and(|g| g.device().is_cuda())
    }

    /// All that there are.
    fn list(&self) -> Vec<&Tensor> {
        self.0.iter().flatten().collect()
    }

    /// The sum with another batch's gradients (accumulation).
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn plus(self, other: Self) -> Result<Self, TrainError> {
        if self.on_card() && self.0.iter().zip(&other.0).all(|(a, b)| a.is_some() == b.is_some()) {
            lists::add(&self.list(), &other.list())?;
            return Ok(self);
        }
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
        if self.on_card() {
            return Ok(f64::try_from(lists::norm(&self.list())?)?);
        }
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
        if self.on_card() {
            lists::scale(&self.list(), factor)?;
            return Ok(self);
        }
        let scaled = self.0.into_iter().map(|g| g.map(|g| g.f_mul_scalar(factor)).transpose());
        Ok(Self(scaled.collect::<Result<_, _>>()?))
    }

    /// Scales the gradients down so that their global norm is at most `max_norm`, as `torch.nn.utils.clip_grad_norm_` does. Returns
    /// the norm before clipping. A norm that is not finite leaves the gradients as they are: the caller decides.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn clipped(self, max_norm: f64) -> Result<(Self, f64), TrainError> {
        let norm = self.norm()?;
        Ok((self.bounded(max_norm, norm)?, norm))
    }

    /// [`Gradients::clipped`] where the norm is known. Scales the gradients down so that their global norm, which is `norm`, is at most `max_norm`, as `torch.nn.utils.clip_grad_norm_`
    /// does. A norm that is not finite leaves the gradients as they are: the caller decides.
    ///
    /// # Errors
    /// When libtorch fails.
    pub(crate) fn bounded(self, max_norm: f64, norm: f64) -> Result<Self, TrainError> {
        /// PyTorch's guard against a division by zero.
        const EPSILON: f64 = 1e-6;
        let factor = max_norm / (norm + EPSILON);
        if norm.is_finite() && factor < 1.0 {
            return self.scaled(factor);
        }
        Ok(self)
    }
}
