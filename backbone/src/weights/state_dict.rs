//! Named tensors with metadata.

use std::collections::BTreeMap;

use tch::{Device, Tensor};

use crate::module::Tree;

/// Tensors by name, in file order, with what the file says about itself.
#[derive(Debug, Default)]
pub struct StateDict {
    /// Names and tensors.
    pub tensors: Vec<(String, Tensor)>,
    /// Text by key: safetensors metadata, or the scalars of a checkpoint (`epoch`, `arch`, `metric`, …).
    pub metadata: BTreeMap<String, String>,
    /// The entry of a checkpoint that was taken (`state_dict_ema`, `state_dict`, `model`).
    pub chosen: Option<String>,
    /// Python globals that a pickle names and that were left as inert values.
    pub foreign: Vec<String>,
}

impl StateDict {
    /// Every tensor below `tree`, as contiguous, detached copies on the CPU; `prefix` is put before each name.
    pub fn of(tree: &dyn Tree, prefix: &str) -> Self {
        let copy = |t: &Tensor| tch::no_grad(|| t.detach().to_device(Device::Cpu).copy().contiguous());
        let tensors = tree.named_tensors().iter().map(|e| (format!("{prefix}{}", e.name), copy(&e.tensor))).collect();
        Self { tensors, ..Self::default() }
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    /// The names, in file order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().map(|(n, _)| n.as_str())
    }

    /// The tensors whose names start with `prefix`, by the rest of the name. Tensors are shared, not copied.
    pub fn under(&self, prefix: &str) -> Self {
        let strip = |(n, t): &(String, Tensor)| Some((n.strip_prefix(prefix)?.to_string(), t.shallow_clone()));
        Self {
            tensors: self.tensors.iter().filter_map(strip).collect(),
            metadata: self.metadata.clone(),
            chosen: self.chosen.clone(),
            foreign: self.foreign.clone(),
        }
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// True without tensors.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Removes `prefix` from all names if every name has it.
    pub(super) fn strip_common_prefix(&mut self, prefix: &str) {
        if !self.tensors.is_empty() && self.names().all(|n| n.len() > prefix.len() && n.starts_with(prefix)) {
            for (name, _) in &mut self.tensors {
                name.drain(..prefix.len());
            }
        }
    }
}
