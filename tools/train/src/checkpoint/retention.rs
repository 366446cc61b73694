//! Which checkpoints stay: a decision without I/O.
//!
//! The pattern is burn-train's `MetricCheckpointingStrategy`: an event goes in, actions come out, somebody else acts.

/// The last few checkpoints stay, and the one of the best evaluation.
#[derive(Clone, Debug)]
pub struct Retention {
    keep_last: usize,
    /// Steps of the files that are there, ascending.
    present: Vec<u64>,
}

impl Retention {
    /// Keeps `keep_last` files (at least one) besides the best, among those `present`.
    pub fn new(keep_last: usize, present: Vec<u64>) -> Self {
        Self { keep_last: keep_last.max(1), present }
    }

    /// The checkpoint of `step` was written, and the best evaluation so far is that of step `best`. Returns the steps whose
    /// checkpoints go.
    pub fn saved(&mut self, step: u64, best: Option<u64>) -> Vec<u64> {
        if !self.present.contains(&step) {
            self.present.push(step);
            self.present.sort_unstable();
        }
        let old = self.present.len().saturating_sub(self.keep_last);
        let delete: Vec<u64> = self.present.iter().take(old).copied().filter(|s| Some(*s) != best).collect();
        self.present.retain(|s| !delete.contains(s));
        delete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_two_and_the_best_stay() {
        let mut r = Retention::new(2, vec![]);
        assert!(r.saved(10, None).is_empty());
        assert!(r.saved(20, Some(10)).is_empty());
        assert!(r.saved(30, Some(10)).is_empty(), "10 is the best and stays");
        assert_eq!(r.saved(40, Some(30)), [10, 20]);
        assert!(r.saved(50, Some(30)).is_empty());
        assert_eq!(r.saved(60, Some(30)), [40]);
        assert_eq!(r.present, [30, 50, 60]);
    }

    #[test]
    fn what_was_there_before_a_resume_counts() {
        let mut r = Retention::new(0, vec![1, 2]);
        assert_eq!(r.saved(3, Some(1)), [2]);
        assert_eq!(r.saved(3, Some(1)), [0u64; 0], "writing the same step again is no second file");
        assert_eq!(r.present, [1, 3]);
    }
}
