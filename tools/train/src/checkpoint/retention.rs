//! Which checkpoints stay: decisions without I/O.
//!
//! The pattern is burn-train's `MetricCheckpointingStrategy`: an event goes in, actions come out, somebody else acts.

use super::Best;

/// The last few checkpoints stay, and the best one.
#[derive(Clone, Debug)]
pub struct Retention {
    keep_last: usize,
    /// Steps of the files that are there, ascending.
    present: Vec<u64>,
    best: Option<Best>,
}

/// What an evaluation means.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The weights are the best so far.
    pub is_best: bool,
    /// Steps whose checkpoints go.
    pub delete: Vec<u64>,
}

impl Retention {
    /// Keeps `keep_last` files (at least one) besides the best, among those `present`.
    pub fn new(keep_last: usize, present: Vec<u64>, best: Option<Best>) -> Self {
        Self { keep_last: keep_last.max(1), present, best }
    }

    /// The best evaluation so far.
    pub fn best(&self) -> Option<Best> {
        self.best
    }

    /// A checkpoint was written. Returns the steps whose checkpoints go.
    pub fn saved(&mut self, step: u64) -> Vec<u64> {
        if !self.present.contains(&step) {
            self.present.push(step);
            self.present.sort_unstable();
        }
        self.prune()
    }

    /// The weights of a step were evaluated; more is better. NaN is never the best. Of equal ones the first is the best.
    pub fn evaluated(&mut self, step: u64, value: f64) -> Verdict {
        let is_best = !value.is_nan() && self.best.is_none_or(|b| value > b.value);
        if is_best {
            self.best = Some(Best { step, value });
        }
        Verdict { is_best, delete: self.prune() }
    }

    fn prune(&mut self) -> Vec<u64> {
        let recent = self.present.len().saturating_sub(self.keep_last);
        let best = self.best.map(|b| b.step);
        let (old, new) = self.present.split_at(recent);
        let (keep, delete): (Vec<u64>, Vec<u64>) = old.iter().partition(|s| Some(**s) == best);
        self.present = keep.into_iter().chain(new.iter().copied()).collect();
        delete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_and_the_best_stay() {
        let mut r = Retention::new(2, vec![], None);
        assert!(r.saved(10).is_empty());
        assert_eq!(r.evaluated(10, 0.3), Verdict { is_best: true, delete: vec![] });
        assert!(r.saved(20).is_empty());
        assert_eq!(r.evaluated(20, 0.2), Verdict { is_best: false, delete: vec![] });
        assert!(r.saved(30).is_empty(), "10 is the best and stays");
        assert_eq!(r.evaluated(30, 0.4), Verdict { is_best: true, delete: vec![10] });
        assert_eq!(r.saved(40), [20]);
        assert!(r.saved(50).is_empty());
        assert_eq!(r.present, [30, 40, 50]);
    }

    #[test]
    fn nan_is_never_best_and_equal_is_not_better() {
        let mut r = Retention::new(1, vec![], None);
        assert!(!r.evaluated(1, f64::NAN).is_best);
        assert!(r.evaluated(2, 0.0).is_best);
        assert!(!r.evaluated(3, 0.0).is_best);
    }

    #[test]
    fn what_was_there_before_a_resume_counts() {
        let mut r = Retention::new(0, vec![1, 2], Some(Best { step: 1, value: 0.9 }));
        assert_eq!(r.saved(3), [2]);
        assert_eq!(r.saved(3), [0u64; 0], "writing the same step again is no second file");
    }
}
