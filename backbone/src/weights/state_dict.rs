//! Named tensors with metadata.

use std::collections::BTreeMap;

use tch::{Device, Tensor};

use crate::module::Tree;

/// Prefixes that wrappers put before every name.
const WRAPPERS: [&str; 3] = ["module.", "model.", "network."];

/// Tensors by name, in file order, with the file's metadata.
#[derive(Debug, Default)]
pub struct StateDict {
    /// Names and tensors.
    pub tensors: Vec<(String, Tensor)>,
    /// Text by key: safetensors metadata, or the scalars of a checkpoint (`epoch`, `arch`, `metric`, …).
    pub metadata: BTreeMap<String, String>,
    /// The entry of a checkpoint that was taken (`state_dict_ema`, `model_ema.module`).
    pub chosen: Option<String>,
    /// Lines for the log: the entry that was taken where there were several, prefixes that were stripped, names that were renamed.
    pub notes: Vec<String>,
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
            notes: self.notes.clone(),
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

    /// Removes what wrappers put before names: `_orig_mod.` (torch.compile) wherever it stands, and `module.` (DataParallel), `model.`
    /// and `network.` (Lightning modules) where every name starts with it, in any combination. Files of this project are left as they are: in
    /// a training checkpoint, `model.` separates the weights from the average.
    pub(super) fn strip_wrappers(&mut self) {
        const OURS: &str = "repghost.";
        if self.metadata.keys().any(|key| key.starts_with(OURS)) {
            return;
        }
        const COMPILED: &str = "_orig_mod.";
        let mut stripped = vec![];
        if self.names().any(|n| n.contains(COMPILED)) {
            self.tensors.iter_mut().for_each(|(name, _)| *name = name.replace(COMPILED, ""));
            stripped.push(COMPILED);
        }
        while let Some(prefix) = WRAPPERS.iter().find(|p| self.all_start_with(p)) {
            self.tensors.iter_mut().for_each(|(name, _)| drop(name.drain(..prefix.len())));
            stripped.push(prefix);
        }
        if !stripped.is_empty() {
            self.notes.push(format!("the names' prefix {} was stripped", stripped.join(" and ")));
        }
    }

    fn all_start_with(&self, prefix: &str) -> bool {
        !self.tensors.is_empty() && self.names().all(|n| n.len() > prefix.len() && n.starts_with(prefix))
    }
}
