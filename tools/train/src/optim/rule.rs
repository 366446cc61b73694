//! What every update rule does, and helpers for its state.

use std::collections::BTreeMap;

use tch::Tensor;

use super::{Gradients, ParamSlot};
use crate::error::TrainError;

/// Named state tensors: `kind.parameter_name`.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// An update rule and its state.
pub trait UpdateRule: std::fmt::Debug {
    /// Updates every parameter that has a gradient, with learning rate `lr` (times the slot's own factor).
    ///
    /// # Errors
    /// When libtorch refuses an operation (shapes that do not fit).
    fn step(&mut self, slots: &mut [ParamSlot], gradients: &Gradients, lr: f64) -> Result<(), TrainError>;

    /// Handles of the state, by name.
    fn state(&self, slots: &[ParamSlot]) -> NamedTensors;

    /// Takes the state that [`UpdateRule::state`] gave.
    ///
    /// # Errors
    /// [`TrainError::OptimizerState`] when a name belongs to no parameter or a shape differs.
    fn load_state(&mut self, slots: &[ParamSlot], state: &NamedTensors) -> Result<(), TrainError>;
}

/// The state tensors of one kind, one per slot, from their names; `None` for parameters that were never updated.
pub(super) fn take_kind(kind: &str, slots: &[ParamSlot], state: &NamedTensors) -> Result<Vec<Option<Tensor>>, TrainError> {
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
pub(super) fn check_names(kinds: &[&str], slots: &[ParamSlot], state: &NamedTensors) -> Result<(), TrainError> {
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
