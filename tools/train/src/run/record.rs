//! What is written down while a run goes on.

use serde::{Deserialize, Deserializer, Serialize};

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// Means over the steps since the last such record.
    Step(StepRecord),
    /// An epoch has ended.
    Epoch(EpochRecord),
    /// An evaluation.
    Eval(EvalRecord),
}

impl Record {
    /// Optimizer steps done when it was written.
    pub fn step(&self) -> u64 {
        match self {
            Record::Step(r) => r.step,
            Record::Epoch(r) => r.step,
            Record::Eval(r) => r.step,
        }
    }
}

/// Means over the steps since the last such record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Optimizer steps done.
    pub step: u64,
    /// Epochs done, with fraction.
    pub epoch: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Sum of the losses.
    pub loss: f64,
    /// Each loss, in the order that the head gives them.
    pub losses: Vec<(String, f64)>,
    /// Norm of the gradient before clipping, where it is clipped.
    pub grad_norm: Option<f64>,
    /// Images learned from in a second, waiting included.
    pub images_per_second: f64,
    /// Seconds a step.
    pub step_seconds: f64,
    /// Of these, seconds spent waiting for data.
    pub data_seconds: f64,
    /// Resident memory in MiB, where the system has the number.
    pub memory_mib: Option<f64>,
    /// The most that tensors took of the card since the start of the run, in MiB, where it trains on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_mib: Option<f64>,
}

/// An epoch has ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Optimizer steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: usize,
    /// Mean of the loss over the epoch.
    pub loss: f64,
    /// Seconds it took, without evaluation.
    pub seconds: f64,
    /// Of these, seconds spent waiting for data.
    pub data_seconds: f64,
}

/// An evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EvalRecord {
    /// Optimizer steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: usize,
    /// Whether the moving average was evaluated, not the weights themselves.
    pub ema: bool,
    /// Numbers by name: `bbox/AP`, `bbox/AP50`, … JSON has `null` where one is not a number.
    #[serde(deserialize_with = "named_numbers")]
    pub metrics: Vec<(String, f64)>,
    /// The number that decides what is best. Not a number (`null`) where there was nothing to measure.
    #[serde(deserialize_with = "number")]
    pub headline: f64,
    /// Whether these are the best weights so far.
    pub best: bool,
    /// Seconds it took.
    pub seconds: f64,
    /// Why the run ends here before its last step, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
}

/// A number, or `null` for what is not one.
fn number<'de, D: Deserializer<'de>>(source: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(source)?.unwrap_or(f64::NAN))
}

fn named_numbers<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<(String, f64)>, D::Error> {
    let named = Vec::<(String, Option<f64>)>::deserialize(source)?;
    Ok(named.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

impl EvalRecord {
    /// The metric of that name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.iter().find(|(n, _)| n == name).map(|(_, v)| *v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JSON has no such number; the record must not be lost for it, or a resumed run would evaluate again.
    #[test]
    fn an_evaluation_that_measured_nothing_is_still_a_record() {
        let metrics = vec![("bbox/AP".to_string(), f64::NAN), ("loss".into(), 0.5)];
        let line =
            serde_json::to_string(&Record::Eval(EvalRecord { step: 3, metrics, headline: f64::NAN, ..Default::default() }));
        let Record::Eval(read) = serde_json::from_str(&line.unwrap()).unwrap() else { panic!("another kind of record") };
        assert!(read.headline.is_nan() && read.metrics[0].1.is_nan());
        assert_eq!((read.step, read.metric("loss")), (3, Some(0.5)));
    }
}
