//! Optimizers that can be saved.
//!
//! libtorch's own optimizers, as tch binds them, can neither save nor load their state, so a run could not be resumed to the same
//! weights. These are small, follow PyTorch's single-tensor formulas operation by operation, and hand out their state as named
//! tensors. Gradients are values ([`Gradients`]), not hidden in `.grad`: nothing to zero, nothing left over from the step before.
//!
//! To add one: a file with its [`UpdateRule`], and here its name, its keys, and its line in [`OptimizerConfig::build`].

mod adamw;
mod gradients;
mod groups;
mod groups_on_card;
mod loss_scale;
mod rule;
mod sgd;
mod side_by_side;

pub use adamw::AdamW;
pub use gradients::Gradients;
pub use groups::{Grouping, ParamSlot};
pub use loss_scale::LossScale;
pub use rule::{NamedTensors, UpdateRule};
pub use sgd::Sgd;
pub(crate) use side_by_side::side_by_side;

use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The update rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerName {
    /// Stochastic gradient descent with momentum (PyTorch's form: the rate multiplies the velocity).
    #[default]
    Sgd,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    Adamw,
}

/// The keys below `train.optimizer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// The update rule.
    pub name: OptimizerName,
    /// Learning rate (the peak of the schedule).
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub lr: f64,
    /// SGD: share of the velocity that is kept.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1))]
    pub momentum: f64,
    /// SGD: Nesterov's form.
    pub nesterov: bool,
    /// AdamW: decay of the first and second moment.
    #[schemars(transform = below_one)]
    pub betas: [f64; 2],
    /// AdamW: added to the denominator.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub eps: f64,
    /// Weight decay.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// Leave biases and norms (all 1-D parameters) without weight decay.
    pub no_decay_on_1d: bool,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            name: OptimizerName::Sgd,
            lr: 0.01,
            momentum: 0.9,
            nesterov: false,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 1e-4,
            no_decay_on_1d: false,
        }
    }
}

impl Check for OptimizerConfig {
    fn rules(&self, at: &mut Checker) {
        let possible = self.name == OptimizerName::Sgd && self.momentum > 0.0;
        let expected = format!("false, unless {} is sgd and momentum above 0", at.key("name"));
        at.require(!self.nesterov || possible, "nesterov", true, expected);
    }
}

/// The schema of numbers in [0, 1).
fn below_one(schema: &mut schemars::Schema) {
    if let Some(items) = schema.get_mut("items").and_then(|items| items.as_object_mut()) {
        items.insert("minimum".into(), 0.into());
        items.insert("exclusiveMaximum".into(), 1.into());
    }
}

impl OptimizerConfig {
    /// The update rule, without state yet.
    pub fn build(&self) -> Box<dyn UpdateRule> {
        match self.name {
            OptimizerName::Sgd => Box::new(Sgd::new(self.momentum, self.nesterov)),
            OptimizerName::Adamw => Box::new(AdamW::new(self.betas[0], self.betas[1], self.eps)),
        }
    }

    /// How the parameters are grouped.
    pub fn grouping(&self) -> Grouping {
        Grouping { weight_decay: self.weight_decay, decay_1d: !self.no_decay_on_1d, lr_factors: vec![] }
    }
}
