//! Stochastic gradient descent with momentum, by the formulas of `torch.optim.SGD`.

use repghost_kernels::lists::SgdRule;
use tch::Tensor;

use super::groups_on_card::{groups, on_card};
use super::rule::{check_names, take_kind, NamedTensors, UpdateRule};
use super::{Gradients, ParamSlot};
use crate::error::TrainError;

/// `v = momentum * v + (g + decay * p)`, `p -= lr * v`; with Nesterov `p -= lr * (g + decay * p + momentum * v)`.
///
/// As in PyTorch the velocity starts as the first gradient, and dampening is 0.
#[derive(Debug)]
pub struct Sgd {
    momentum: f64,
    nesterov: bool,
    velocity: Vec<Option<Tensor>>,
}

impl Sgd {
    /// A rule without state yet. Momentum 0 is plain descent.
    pub fn new(momentum: f64, nesterov: bool) -> Self {
        Self { momentum, nesterov, velocity: vec![] }
    }

    /// The same rule on a card, a launch per group.
    fn fused(&mut self, slots: &[ParamSlot], gradients: &Gradients, lr: f64) -> Result<(), TrainError> {
        let fresh: Vec<bool> = self.velocity.iter().map(Option::is_none).collect();
        for group in groups(slots, gradients, |i| i64::from(fresh[i])) {
            let (params, grads) = group.pairs(slots, gradients);
            let mut velocities = vec![];
            if self.momentum != 0.0 {
                for i in &group.members {
                    let velocity = &mut self.velocity[*i];
                    if velocity.is_none() {
                        *velocity = Some(slots[*i].tensor.f_empty_like()?.set_requires_grad(false));
                    }
                }
                velocities = group.members.iter().filter_map(|i| self.velocity[*i].as_ref()).collect();
            }
            let rule = SgdRule {
                lr: lr * group.lr_factor,
                weight_decay: group.weight_decay,
                momentum: self.momentum,
                nesterov: self.nesterov,
                first: group.age == 1,
            };
            rule.step(&params, &grads, &velocities)?;
        }
        Ok(())
    }
}

impl UpdateRule for Sgd {
    fn step(&mut self, slots: &mut [ParamSlot], gradients: &Gradients, lr: f64) -> Result<(), TrainError> {
        let _guard = tch::no_grad_guard();
        self.velocity.resize_with(slots.len(), || None);
        if on_card(slots) {
            return self.fused(slots, gradients, lr);
        }
        for ((slot, gradient), velocity) in slots.iter_mut().zip(&gradients.0).zip(&mut self.velocity) {
            let Some(gradient) = gradient else { continue };
            let mut direction = match slot.weight_decay {
                0.0 => gradient.shallow_clone(),
                decay => (slot.tensor.f_mul_scalar(decay)?).f_add_(gradient)?,
            };
            if self.momentum != 0.0 {
                let v = match velocity.take() {
                    Some(mut v) => v.f_mul_scalar_(self.momentum)?.f_add_(&direction)?,
                    None => direction.copy(),
                };
                direction = if self.nesterov { v.f_mul_scalar(self.momentum)?.f_add_(&direction)? } else { v.shallow_clone() };
                *velocity = Some(v);
            }
            let _ = slot.tensor.f_sub_(&direction.f_mul_scalar(lr * slot.lr_factor)?)?;
        }
        Ok(())
    }

    fn state(&self, slots: &[ParamSlot]) -> NamedTensors {
        let named = slots.iter().zip(&self.velocity).filter_map(|(s, v)| Some((format!("momentum.{}", s.name), v.as_ref()?)));
        named.map(|(name, v)| (name, v.shallow_clone())).collect()
    }

    fn load_state(&mut self, slots: &[ParamSlot], state: &NamedTensors) -> Result<(), TrainError> {
        check_names(&["momentum"], slots, state)?;
        self.velocity = take_kind("momentum", slots, state)?;
        Ok(())
    }
}
