//! An exponential moving average of the weights (Polyak averaging), evaluated and published in place of the raw weights.
//!
//! Buffers are part of it: batch-norm statistics that belong to other weights than the averaged ones cost accuracy. Integer
//! counters are copied.

use repghost_backbone::Entry;
use repghost_kernels::lists;
use tch::Tensor;

use crate::error::TrainError;
use crate::optim::{side_by_side, NamedTensors};

/// The average and how it moves.
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    warm_up: bool,
    updates: u64,
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    name: String,
    source: Tensor,
    average: Tensor,
}

impl Pair {
    /// Floats of a card, which are averaged in one launch.
    fn on_card(&self) -> bool {
        self.average.device().is_cuda() && self.average.is_floating_point()
    }
}

impl Ema {
    /// Starts the average at the present weights. With `warm_up` the decay grows as `(1 + n) / (10 + n)` up to `decay`, so that the
    /// average of a short run is not held back by its random start (the rule of TensorFlow and timm's ModelEmaV3).
    pub fn new(entries: Vec<Entry>, decay: f64, warm_up: bool) -> Self {
        let pair = |e: Entry| Pair { average: e.tensor.detach().copy(), name: e.name, source: e.tensor };
        Self { decay, warm_up, updates: 0, pairs: entries.into_iter().map(pair).collect() }
    }

    /// Share of the average that an update keeps.
    pub fn decay(&self) -> f64 {
        self.decay
    }

    /// Whether the decay grows at first.
    pub fn warm_up(&self) -> bool {
        self.warm_up
    }

    /// The decay of the update after `n` updates.
    fn decay_at(&self, n: u64) -> f64 {
        if self.warm_up {
            self.decay.min((1.0 + n as f64) / (10.0 + n as f64))
        } else {
            self.decay
        }
    }

    /// Moves the average towards the present weights: `average += (1 - decay) * (weight - average)`.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn update(&mut self) -> Result<(), TrainError> {
        let weight = 1.0 - self.decay_at(self.updates);
        self.updates += 1;
        let card: (Vec<&Tensor>, Vec<&Tensor>) =
            self.pairs.iter().filter(|p| p.on_card()).map(|p| (&p.average, &p.source)).unzip();
        lists::lerp(&card.0, &card.1, weight)?;
        let sample = self.pairs.first().map(|pair| pair.average.shallow_clone());
        side_by_side(&mut self.pairs, sample.as_ref(), |pair| {
            if pair.on_card() {
                return Ok(());
            }
            if pair.average.is_floating_point() {
                let _ = pair.average.f_lerp_(&pair.source, weight)?;
            } else {
                pair.average.f_copy_(&pair.source)?;
            }
            Ok(())
        })
    }

    /// Swaps the average into the network, or back out again. Call it twice around an evaluation.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn swap(&mut self) -> Result<(), TrainError> {
        let _guard = tch::no_grad_guard();
        for pair in &mut self.pairs {
            let keep = pair.source.copy();
            pair.source.f_copy_(&pair.average)?;
            pair.average.f_copy_(&keep)?;
        }
        Ok(())
    }

    /// Handles of the average, by name, and the number of updates.
    pub fn state(&self) -> (NamedTensors, u64) {
        (self.pairs.iter().map(|p| (p.name.clone(), p.average.shallow_clone())).collect(), self.updates)
    }

    /// Takes what [`Ema::state`] gave.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load_state(&mut self, state: &NamedTensors, updates: u64) -> Result<(), TrainError> {
        let _guard = tch::no_grad_guard();
        for pair in &mut self.pairs {
            let saved = state.get(&pair.name).filter(|t| t.size() == pair.average.size());
            let Some(saved) = saved else {
                return Err(TrainError::AverageState { tensor: pair.name.clone() });
            };
            pair.average.f_copy_(saved)?;
        }
        self.updates = updates;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use repghost_backbone::Role;

    fn entries(weight: &Tensor, count: &Tensor) -> Vec<Entry> {
        vec![
            Entry { name: "running_mean".into(), tensor: weight.shallow_clone(), role: Role::Buffer },
            Entry { name: "num_batches_tracked".into(), tensor: count.shallow_clone(), role: Role::Buffer },
        ]
    }

    /// By hand: 1, then towards 3 with weight 0.25: 1.5, 1.875; the counter is copied.
    #[test]
    fn averages_buffers_and_copies_counters() {
        let (mut weight, mut count) = (Tensor::from_slice(&[1f32]), Tensor::from_slice(&[0i64]));
        let mut ema = Ema::new(entries(&weight, &count), 0.75, false);
        let _ = weight.fill_(3.0);
        let _ = count.fill_(7);
        ema.update().unwrap();
        ema.update().unwrap();
        let (state, updates) = ema.state();
        assert_eq!(updates, 2);
        assert_eq!(f64::try_from(&state["running_mean"]).unwrap(), 1.875);
        assert_eq!(i64::try_from(&state["num_batches_tracked"]).unwrap(), 7);
        ema.swap().unwrap();
        assert_eq!(f64::try_from(&weight).unwrap(), 1.875);
        ema.swap().unwrap();
        assert_eq!(f64::try_from(&weight).unwrap(), 3.0);
    }

    #[test]
    fn warm_up_lets_the_first_updates_weigh_more() {
        let ema = Ema::new(vec![], 0.999, true);
        assert_eq!(ema.decay_at(0), 0.1);
        assert_eq!(ema.decay_at(90), 0.91);
        assert_eq!(ema.decay_at(1_000_000), 0.999);
    }
}
