//! Which evaluation is the best, and whether the run should end: decisions without I/O.
//!
//! The state is a function of the evaluations on record. A resumed run replays them, so it decides as one that never stopped would, and
//! a larger `train.stop.patience` continues a run that ended early.

use crate::config::{BestConfig, StopConfig};
use crate::error::TrainError;
use crate::run::EvalRecord;

/// A best so far.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark {
    epoch: usize,
    value: f64,
}

/// Follows the evaluations of a run.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    best: BestConfig,
    stop: Option<StopConfig>,
    /// Values of the metric that decides what is best.
    values: Vec<f64>,
    best_so_far: Option<Mark>,
    /// By the metric of `train.stop`.
    improved: Option<Mark>,
    waited: usize,
}

/// What an evaluation means.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The metric that decides.
    pub headline: f64,
    /// Its mean over the latest evaluations, where they are the best so far.
    pub best: Option<f64>,
    /// Why the run ends here.
    pub stop: Option<String>,
}

impl Selection {
    /// Nothing was evaluated yet.
    pub fn new(best: &BestConfig, stop: Option<&StopConfig>) -> Self {
        Self { best: best.clone(), stop: stop.cloned(), ..Self::default() }
    }

    /// Replays evaluations on record. Returns what the last one meant.
    pub fn replay<'a>(&mut self, records: impl Iterator<Item = &'a EvalRecord>) -> Option<Observed> {
        // A record without the metric is from before the metric was chosen.
        records.filter_map(|r| self.observe(r.epoch, r.headline, &r.metrics).ok()).last()
    }

    /// Takes an evaluation. `headline` is the task's own number, `metrics` are all.
    ///
    /// # Errors
    /// [`TrainError::Setting`] where a metric of the settings is not among them.
    pub fn observe(&mut self, epoch: usize, headline: f64, metrics: &[(String, f64)]) -> Result<Observed, TrainError> {
        let named = |key: &str, name: &Option<String>, default: f64| match name {
            None => Ok(default),
            Some(name) => metrics.iter().find(|(n, _)| n == name).map(|(_, v)| *v).ok_or_else(|| {
                let known: Vec<&str> = metrics.iter().map(|(n, _)| n.as_str()).collect();
                TrainError::Setting {
                    key: key.into(),
                    problem: format!("{name} is not measured; there are {}", known.join(", ")),
                }
            }),
        };
        let headline = named("train.best.metric", &self.best.metric, headline)?;
        let watched = match &self.stop {
            Some(stop) => named("train.stop.metric", &stop.metric, headline)?,
            None => headline,
        };
        self.values.push(headline);
        let latest = &self.values[self.values.len().saturating_sub(self.best.smooth.max(1))..];
        let mean = latest.iter().sum::<f64>() / latest.len() as f64;
        let is_best = better(mean, self.best_so_far, 0.0);
        if is_best {
            self.best_so_far = Some(Mark { epoch, value: mean });
        }
        Ok(Observed { headline, best: is_best.then_some(mean), stop: self.ended(epoch, watched) })
    }

    /// Why the run ends with this evaluation.
    fn ended(&mut self, epoch: usize, value: f64) -> Option<String> {
        let stop = self.stop.as_ref()?;
        if better(value, self.improved, stop.min_delta) {
            self.improved = Some(Mark { epoch, value });
            self.waited = 0;
            return None;
        }
        if epoch < stop.after_epoch {
            return None;
        }
        self.waited += 1;
        let best = self.improved.map_or("nothing was measured".into(), |m| format!("best {:.4} at epoch {}", m.value, m.epoch));
        (self.waited >= stop.patience).then(|| {
            let evaluations = if self.waited == 1 { "evaluation" } else { "evaluations" };
            format!("stopped at epoch {epoch}, {best}: {} {evaluations} without improvement (train.stop)", self.waited)
        })
    }
}

/// Whether a value is an improvement. What is not a number never is.
fn better(value: f64, best: Option<Mark>, min_delta: f64) -> bool {
    !value.is_nan() && best.is_none_or(|b| value > b.value + min_delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The evaluations (from 1) at which a sequence of values is best, and at which the run ends.
    fn follow(best: BestConfig, stop: StopConfig, values: &[f64]) -> (Vec<usize>, Option<usize>) {
        let mut selection = Selection::new(&best, Some(&stop));
        let mut bests = vec![];
        for (i, value) in values.iter().enumerate() {
            let observed = selection.observe(i + 1, *value, &[]).unwrap();
            bests.extend(observed.best.map(|_| i + 1));
            if observed.stop.is_some() {
                return (bests, Some(i + 1));
            }
        }
        (bests, None)
    }

    fn patience(patience: usize) -> StopConfig {
        StopConfig { patience, ..StopConfig::default() }
    }

    #[test]
    fn scripted_sequences() {
        let nan = f64::NAN;
        let of = |stop: StopConfig, values: &[f64]| follow(BestConfig::default(), stop, values);
        assert_eq!(of(patience(2), &[0.1, 0.2, 0.2, 0.2, 0.9]), (vec![1, 2], Some(4)), "a tie is no improvement");
        assert_eq!(of(patience(2), &[0.1, 0.0, 0.2, 0.0, 0.3]), (vec![1, 3, 5], None), "an improvement starts the count anew");
        assert_eq!(of(patience(3), &[0.1, nan, nan, nan]), (vec![1], Some(4)), "what measures nothing is no improvement");
        assert_eq!(of(patience(2), &[nan, nan, 0.5]), (vec![], Some(2)));
        let delta = StopConfig { min_delta: 0.05, ..patience(2) };
        assert_eq!(of(delta, &[0.5, 0.52, 0.54, 0.9]), (vec![1, 2, 3], Some(3)), "small gains are the best, and no improvement");
        let late = StopConfig { after_epoch: 4, ..patience(2) };
        assert_eq!(of(late, &[0.5, 0.4, 0.4, 0.4, 0.4]), (vec![1], Some(5)), "the count starts at epoch 4");
        assert_eq!(of(StopConfig { after_epoch: 9, ..patience(1) }, &[0.5, 0.4, 0.4]), (vec![1], None));
    }

    #[test]
    fn smoothing_ignores_one_lucky_evaluation() {
        let smooth = BestConfig { smooth: 2, ..BestConfig::default() };
        // Means of two: 0.5, 0.45, 0.65, 0.6, 0.7.
        assert_eq!(follow(smooth, patience(9), &[0.5, 0.4, 0.9, 0.3, 1.1]).0, [1, 3, 5]);
    }

    #[test]
    fn other_metrics_decide_and_absent_ones_are_named() {
        let best = BestConfig { metric: Some("bbox/AP50".into()), ..BestConfig::default() };
        let stop = StopConfig { metric: Some("loss".into()), ..patience(1) };
        let metrics = |ap50: f64| vec![("bbox/AP".to_string(), 0.1), ("bbox/AP50".into(), ap50)];
        let mut selection = Selection::new(&best, None);
        assert_eq!(selection.observe(1, 0.1, &metrics(0.7)).unwrap(), Observed { headline: 0.7, best: Some(0.7), stop: None });
        let refused = Selection::new(&best, Some(&stop)).observe(1, 0.1, &metrics(0.7)).unwrap_err().to_string();
        assert_eq!(refused, "train.stop.metric: loss is not measured; there are bbox/AP, bbox/AP50");
    }

    /// A run that was stopped anywhere and goes on decides as one that was not.
    #[test]
    fn a_replay_is_the_same_state() {
        let values = [0.1, 0.3, f64::NAN, 0.3, 0.29, 0.31, 0.2, 0.1];
        let (best, stop) = (BestConfig { smooth: 3, ..BestConfig::default() }, patience(2));
        let record = |(i, v): (usize, &f64)| EvalRecord { epoch: i + 1, headline: *v, ..EvalRecord::default() };
        let records: Vec<EvalRecord> = values.iter().enumerate().map(record).collect();
        for cut in 0..values.len() {
            let (mut whole, mut resumed) = (Selection::new(&best, Some(&stop)), Selection::new(&best, Some(&stop)));
            whole.replay(records[..cut].iter());
            resumed.replay(records[..cut].iter());
            for r in &records[cut..] {
                let [a, b] = [&mut whole, &mut resumed].map(|s| s.observe(r.epoch, r.headline, &r.metrics).unwrap());
                assert_eq!((a.best, a.stop), (b.best, b.stop));
            }
        }
        let mut patient = Selection::new(&best, Some(&patience(9)));
        assert_eq!(patient.replay(records.iter()).unwrap().stop, None, "a larger patience continues a run that ended");
    }
}
