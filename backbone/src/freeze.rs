//! The three batch-norm and freezing switches of detector training, each on its own.
//!
//! | switch | no longer updated | mmdetection's name |
//! |---|---|---|
//! | [`freeze_stages`] | weights and running statistics of the first stages | `frozen_stages` |
//! | [`freeze_affine`] | scale and shift of every batch norm | `norm_cfg.requires_grad=False` |
//! | [`use_running_stats`] | batch statistics: running ones normalise and are not updated | `norm_eval` |
//!
//! torchvision's `FrozenBatchNorm2d` is the last two at once; here they are independent. All three work through shared handles, so
//! optimizers and EMA copies made before or after see the same tensors.

use std::collections::HashSet;

use crate::backbone::{Backbone, Node};
use crate::module::{Collector, Role, Tree};

/// Freezes the stem and the first `stages` stages of a backbone (0 freezes nothing): no gradients, and running statistics in
/// training too. Cannot be undone. Returns the number of frozen parameters, counted in elements.
pub fn freeze_stages(backbone: &Backbone, stages: usize) -> i64 {
    freeze(&Nodes(backbone.stage_nodes(stages)))
}

/// Freezes everything below `tree`: no gradients, and running statistics in training too. Returns the number of frozen
/// elements.
pub fn freeze(tree: &dyn Tree) -> i64 {
    let found = tree.survey();
    for (_, switch) in &found.norms {
        switch.freeze();
    }
    stop_gradients(&found, |_| true)
}

/// Freezes scale and shift of every batch norm below `tree`; statistics are left to [`use_running_stats`]. Returns the number of
/// frozen elements.
pub fn freeze_affine(tree: &dyn Tree) -> i64 {
    let found = tree.survey();
    let affine: HashSet<String> =
        found.norms.iter().flat_map(|(path, _)| [format!("{path}.weight"), format!("{path}.bias")]).collect();
    stop_gradients(&found, |name| affine.contains(name))
}

/// Whether every batch norm below `tree` uses its running statistics in training, without updating them. Frozen stages stay
/// frozen. Returns the number of norms.
pub fn use_running_stats(tree: &dyn Tree, on: bool) -> usize {
    let found = tree.survey();
    for (_, switch) in &found.norms {
        switch.set(on);
    }
    found.norms.len()
}

fn stop_gradients(found: &Collector, wanted: impl Fn(&str) -> bool) -> i64 {
    let mut frozen = 0;
    for entry in found.entries.iter().filter(|e| e.role == Role::Parameter && wanted(&e.name)) {
        let _ = entry.tensor.set_requires_grad(false);
        frozen += entry.tensor.numel() as i64;
    }
    frozen
}

/// Part of a backbone's body as a tree of its own.
struct Nodes<'a>(&'a [Node]);

impl Tree for Nodes<'_> {
    fn visit(&self, v: &mut Collector) {
        self.0.visit(v);
    }
}
