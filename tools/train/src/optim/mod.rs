//! Optimizers that can be saved.
//!
//! libtorch's own optimizers, as tch binds them, can neither save nor load their state, so a run could not be resumed to the same
//! weights. These are small, follow PyTorch's single-tensor formulas operation by operation, and hand out their state as named
//! tensors. Gradients are values ([`Gradients`]), not hidden in `.grad`: nothing to zero, nothing left over from the step before.

mod adamw;
mod gradients;
mod groups;
mod groups_on_card;
mod loss_scale;
mod sgd;
mod side_by_side;

pub use adamw::AdamW;
pub use gradients::Gradients;
pub use groups::{Grouping, ParamSlot};
pub use loss_scale::LossScale;
pub use sgd::Sgd;
pub(crate) use side_by_side::side_by_side;

use std::collections::BTreeMap;

use tch::Tensor;

use crate::error::TrainError;

/// Named state tensors: `kind.parameter_name`.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// An update rule and its state.
#[derive(Debug)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    Sgd(Sgd),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
}

impl Optimizer {
    /// Updates every parameter that has a gradient, with learning rate `lr` (times the slot's own factor).
    ///
    /// # Errors
    /// When libtorch refuses an operation (shapes that do not fit).
    pub fn step(&mut self, slots: &mut [ParamSlot], gradients: &Gradients, lr: f64) -> Result<(), TrainError> {
        match self {
            Optimizer::Sgd(o) => o.step(slots, gradients, lr),
            Optimizer::AdamW(o) => o.step(slots, gradients, lr),
        }
    }

    /// Handles of the state, by name.
    pub fn state(&self, slots: &[ParamSlot]) -> NamedTensors {
        match self {
            Optimizer::Sgd(o) => o.state(slots),
            Optimizer::AdamW(o) => o.state(slots),
        }
    }

    /// Takes the state that [`Optimizer::state`] gave.
    ///
    /// # Errors
    /// [`TrainError::OptimizerState`] when a name belongs to no parameter or a shape differs.
    pub fn load_state(&mut self, slots: &[ParamSlot], state: &NamedTensors) -> Result<(), TrainError> {
        match self {
            Optimizer::Sgd(o) => o.load_state(slots, state),
            Optimizer::AdamW(o) => o.load_state(slots, state),
        }
    }
}

/// The state tensors of one kind, one a slot, from their names; `None` for parameters that were never updated.
fn take_kind(kind: &str, slots: &[ParamSlot], state: &NamedTensors) -> Result<Vec<Option<Tensor>>, TrainError> {
    slots
        .iter()
        .map(|slot| match state.get(&format!("{kind}.{}", slot.name)) {
            None => Ok(None),
            Some(t) if t.size() == slot.tensor.size() => {
                Ok(Some(t.to_device(slot.tensor.device()).to_kind(slot.tensor.kind()).copy()))
            }
            Some(t) => Err(TrainError::OptimizerState {
                tensor: format!("{kind} of {}", slot.name),
                problem: format!("has shape {:?}, the parameter {:?}", t.size(), slot.tensor.size()),
            }),
        })
        .collect()
}

/// Refuses state that belongs to no parameter, or to another kind of optimizer.
fn check_names(kinds: &[&str], slots: &[ParamSlot], state: &NamedTensors) -> Result<(), TrainError> {
    for key in state.keys() {
        let known = key.split_once('.').is_some_and(|(kind, name)| kinds.contains(&kind) && slots.iter().any(|s| s.name == name));
        if !known {
            return Err(TrainError::OptimizerState {
                tensor: format!("'{key}'"),
                problem:
                    "belongs to no trained parameter of this optimizer (was the optimizer, the model or a freeze switch changed?)"
                        .into(),
            });
        }
    }
    Ok(())
}
