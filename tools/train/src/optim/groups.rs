//! Which parameters are trained, and with which weight decay.

use repghost_backbone::{Entry, Role};
use tch::Tensor;

/// A trained parameter.
#[derive(Debug)]
pub struct ParamSlot {
    /// Name in the state dict.
    pub name: String,
    /// A handle to the module's tensor: updates reach the network.
    pub tensor: Tensor,
    /// Weight decay of this parameter.
    pub weight_decay: f64,
    /// Factor on the learning rate.
    pub lr_factor: f64,
}

/// How parameters are sorted into groups.
#[derive(Clone, Debug)]
pub struct Grouping {
    /// Weight decay of parameters with two dimensions or more, and of the rest where `decay_1d` is set.
    pub weight_decay: f64,
    /// Whether 1-D parameters (norm scales and shifts, biases) decay too. timm and most recipes leave them out; mmdetection and
    /// torchvision's detection recipes decay everything.
    pub decay_1d: bool,
    /// Factor on the learning rate of parameters whose name starts with the given prefix. The first match counts.
    pub lr_factors: Vec<(String, f64)>,
}

impl Grouping {
    /// The trained parameters among `entries`, in their order. Frozen ones (`requires_grad` unset) and buffers are left out.
    pub fn slots(&self, entries: Vec<Entry>) -> Vec<ParamSlot> {
        let trained = entries.into_iter().filter(|e| e.role == Role::Parameter && e.tensor.requires_grad());
        trained
            .map(|e| {
                let decays = self.decay_1d || e.tensor.dim() > 1;
                let lr_factor = self.lr_factors.iter().find(|(p, _)| e.name.starts_with(p.as_str())).map_or(1.0, |(_, f)| *f);
                ParamSlot {
                    weight_decay: if decays { self.weight_decay } else { 0.0 },
                    lr_factor,
                    name: e.name,
                    tensor: e.tensor,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn entry(name: &str, shape: &[i64], role: Role, trained: bool) -> Entry {
        let tensor = Tensor::zeros(shape, (Kind::Float, Device::Cpu)).set_requires_grad(trained);
        Entry { name: name.into(), tensor, role }
    }

    #[test]
    fn one_dimensional_parameters_do_not_decay_and_frozen_ones_are_left_out() {
        let entries = || {
            vec![
                entry("backbone.conv.weight", &[4, 3, 1, 1], Role::Parameter, true),
                entry("backbone.bn.weight", &[4], Role::Parameter, true),
                entry("backbone.bn.running_mean", &[4], Role::Buffer, false),
                entry("backbone.frozen.weight", &[4, 4], Role::Parameter, false),
                entry("head.fc.weight", &[4, 4], Role::Parameter, true),
            ]
        };
        let grouping = Grouping { weight_decay: 0.1, decay_1d: false, lr_factors: vec![("backbone.".into(), 0.5)] };
        let slots = grouping.slots(entries());
        let seen: Vec<_> = slots.iter().map(|s| (s.name.as_str(), s.weight_decay, s.lr_factor)).collect();
        assert_eq!(seen, [("backbone.conv.weight", 0.1, 0.5), ("backbone.bn.weight", 0.0, 0.5), ("head.fc.weight", 0.1, 1.0)]);
        let all = Grouping { decay_1d: true, ..grouping }.slots(entries());
        assert!(all.iter().all(|s| s.weight_decay == 0.1));
    }
}
