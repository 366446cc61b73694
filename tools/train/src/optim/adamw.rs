//! Adam with decoupled weight decay (Loshchilov and Hutter, 2019), by the formulas of `torch.optim.AdamW`.

use repghost_kernels::lists::AdamWRule;
use tch::{Kind, Tensor};

use super::groups_on_card::{groups, on_card};
use super::rule::{check_names, take_kind, NamedTensors, UpdateRule};
use super::{side_by_side, Gradients, ParamSlot};
use crate::error::TrainError;

/// First and second moments of the gradient, both corrected for their start at zero.
#[derive(Debug)]
pub struct AdamW {
    beta1: f64,
    beta2: f64,
    eps: f64,
    moments: Vec<Option<Moments>>,
}

#[derive(Debug)]
struct Moments {
    first: Tensor,
    second: Tensor,
    /// Updates so far. Counted for each parameter, as one may lack a gradient in some steps.
    steps: i64,
}

/// The numbers of the rule, for all threads to read.
struct Rule {
    beta1: f64,
    beta2: f64,
    eps: f64,
}

impl Rule {
    fn update(&self, slot: &mut ParamSlot, gradient: &Tensor, moments: &mut Option<Moments>, lr: f64) -> Result<(), TrainError> {
        let lr = lr * slot.lr_factor;
        if slot.weight_decay != 0.0 {
            let _ = slot.tensor.f_mul_scalar_(1.0 - lr * slot.weight_decay)?;
        }
        let m = match moments {
            Some(m) => m,
            None => moments.insert(Moments { first: slot.tensor.f_zeros_like()?, second: slot.tensor.f_zeros_like()?, steps: 0 }),
        };
        m.steps += 1;
        let _ = m.first.f_lerp_(gradient, 1.0 - self.beta1)?;
        let weighted = gradient.f_mul_scalar(1.0 - self.beta2)?;
        let _ = m.second.f_mul_scalar_(self.beta2)?.f_addcmul_(&weighted, gradient)?;
        let correct1 = 1.0 - self.beta1.powf(m.steps as f64);
        let correct2 = 1.0 - self.beta2.powf(m.steps as f64);
        // p -= lr / correct1 * first / (sqrt(second) / sqrt(correct2) + eps), the factor moved into the denominator.
        let mut denominator = m.second.f_sqrt()?.f_div_scalar_(correct2.sqrt())?.f_add_scalar_(self.eps)?;
        let _ = slot.tensor.f_addcdiv_(&m.first, &denominator.f_mul_scalar_(-correct1 / lr)?)?;
        Ok(())
    }
}

impl AdamW {
    /// A rule without state yet. PyTorch's defaults are betas 0.9 and 0.999, eps 1e-8.
    pub fn new(beta1: f64, beta2: f64, eps: f64) -> Self {
        Self { beta1, beta2, eps, moments: vec![] }
    }

    /// The same rule on a card, a launch per group.
    fn fused(&mut self, slots: &[ParamSlot], gradients: &Gradients, lr: f64) -> Result<(), TrainError> {
        let _guard = tch::no_grad_guard();
        let ages: Vec<i64> = self.moments.iter().map(|m| m.as_ref().map_or(0, |m| m.steps)).collect();
        for group in groups(slots, gradients, |i| ages[i]) {
            for i in &group.members {
                let m = match &mut self.moments[*i] {
                    Some(m) => m,
                    empty => {
                        let zeros = || slots[*i].tensor.f_zeros_like();
                        empty.insert(Moments { first: zeros()?, second: zeros()?, steps: 0 })
                    }
                };
                m.steps += 1;
            }
            let moments: Vec<&Moments> = group.members.iter().filter_map(|i| self.moments[*i].as_ref()).collect();
            let first: Vec<&Tensor> = moments.iter().map(|m| &m.first).collect();
            let second: Vec<&Tensor> = moments.iter().map(|m| &m.second).collect();
            let (params, grads) = group.pairs(slots, gradients);
            let Some(sample) = params.first() else { continue };
            let steps = Tensor::f_full([], (group.age + 1) as f64, (Kind::Float, sample.device()))?;
            let rule = AdamWRule {
                lr: lr * group.lr_factor,
                beta1: self.beta1,
                beta2: self.beta2,
                weight_decay: group.weight_decay,
                eps: self.eps,
            };
            rule.step(&params, &grads, [&first, &second], &steps)?;
        }
        Ok(())
    }
}

impl UpdateRule for AdamW {
    fn step(&mut self, slots: &mut [ParamSlot], gradients: &Gradients, lr: f64) -> Result<(), TrainError> {
        self.moments.resize_with(slots.len(), || None);
        if on_card(slots) {
            return self.fused(slots, gradients, lr);
        }
        let gradients = gradients.0.iter().map(|g| g.as_ref().map(Tensor::shallow_clone));
        let mut items: Vec<_> = slots.iter_mut().zip(gradients).zip(&mut self.moments).collect();
        let sample = items.first().map(|((slot, _), _)| slot.tensor.shallow_clone());
        let rule = Rule { beta1: self.beta1, beta2: self.beta2, eps: self.eps };
        side_by_side(&mut items, sample.as_ref(), |((slot, gradient), moments)| match gradient {
            Some(gradient) => rule.update(slot, gradient, moments, lr),
            None => Ok(()),
        })
    }

    fn state(&self, slots: &[ParamSlot]) -> NamedTensors {
        let mut state = NamedTensors::new();
        for (slot, m) in slots.iter().zip(&self.moments) {
            if let Some(m) = m {
                state.insert(format!("exp_avg.{}", slot.name), m.first.shallow_clone());
                state.insert(format!("exp_avg_sq.{}", slot.name), m.second.shallow_clone());
                state.insert(format!("step.{}", slot.name), Tensor::from_slice(&[m.steps]));
            }
        }
        state
    }

    fn load_state(&mut self, slots: &[ParamSlot], state: &NamedTensors) -> Result<(), TrainError> {
        check_names(&["exp_avg", "exp_avg_sq", "step"], slots, state)?;
        let first = take_kind("exp_avg", slots, state)?;
        let second = take_kind("exp_avg_sq", slots, state)?;
        let moments = slots.iter().zip(first).zip(second).map(|((slot, first), second)| {
            let steps = state.get(&format!("step.{}", slot.name)).map(|t| t.f_to_kind(Kind::Int64).and_then(i64::try_from));
            match (first, second, steps) {
                (Some(first), Some(second), Some(steps)) => Ok(Some(Moments { first, second, steps: steps? })),
                (None, None, None) => Ok(None),
                _ => Err(TrainError::OptimizerState {
                    tensor: slot.name.clone(),
                    problem: "has an incomplete set of moments".into(),
                }),
            }
        });
        self.moments = moments.collect::<Result<_, _>>()?;
        Ok(())
    }
}
