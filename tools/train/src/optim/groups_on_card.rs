//! Parameters that one fused launch updates: those with the same rate, weight decay and age.
//!
//! A card's driver takes about five microseconds per launch whatever its size, and an optimizer that goes from parameter to parameter needs
//! two to four thousand. So on a card whole groups are updated at once (PyTorch's `fused=True`).

use tch::Tensor;

use super::{Gradients, ParamSlot};

/// A group, by positions in the list of parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub lr_factor: f64,
    pub weight_decay: f64,
    pub age: i64,
    pub members: Vec<usize>,
}

/// True where the parameters are a card's.
pub(super) fn on_card(slots: &[ParamSlot]) -> bool {
    slots.first().is_some_and(|s| s.tensor.device().is_cuda())
}

/// Groups of the parameters that have a gradient, in order of their first members.
pub(super) fn groups(slots: &[ParamSlot], gradients: &Gradients, age: impl Fn(usize) -> i64) -> Vec<Group> {
    let mut groups: Vec<Group> = vec![];
    for (i, slot) in slots.iter().enumerate().filter(|(i, _)| matches!(gradients.0.get(*i), Some(Some(_)))) {
        let (lr_factor, weight_decay, age) = (slot.lr_factor, slot.weight_decay, age(i));
        match groups.iter_mut().find(|g| (g.lr_factor, g.weight_decay, g.age) == (lr_factor, weight_decay, age)) {
            Some(group) => group.members.push(i),
            None => groups.push(Group { lr_factor, weight_decay, age, members: vec![i] }),
        }
    }
    groups
}

impl Group {
    /// Parameters and gradients of the members.
    pub fn pairs<'a>(&self, slots: &'a [ParamSlot], gradients: &'a Gradients) -> (Vec<&'a Tensor>, Vec<&'a Tensor>) {
        let pair = |i: &usize| gradients.0[*i].as_ref().map(|gradient| (&slots[*i].tensor, gradient));
        self.members.iter().filter_map(pair).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn equals_are_together_and_what_has_no_gradient_is_left_out() {
        let tensor = || Tensor::zeros([1], (Kind::Float, Device::Cpu));
        let slot = |weight_decay: f64| ParamSlot { name: String::new(), tensor: tensor(), weight_decay, lr_factor: 1.0 };
        let slots = [slot(0.1), slot(0.0), slot(0.1), slot(0.1), slot(0.1)];
        let gradients = Gradients(vec![Some(tensor()), Some(tensor()), None, Some(tensor()), Some(tensor())]);
        let found: Vec<_> = groups(&slots, &gradients, |i| i64::from(i == 4)).into_iter().map(|g| g.members).collect();
        assert_eq!(found, [vec![0, 3], vec![1], vec![4]]);
        assert!(!on_card(&slots) && !on_card(&[]));
    }
}
