//! From the folders of trials to rows: mean and deviation over seeds.

use repghost_coco::judge::Change;
use serde::{Deserialize, Serialize};

use super::cost::RowCost;
use super::folder::{Status, SweepFolder};
use super::plan::Plan;
use crate::error::TrainError;
use crate::run::{metrics, Record};

/// A trial's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// The trial.
    pub id: String,
    /// Its seed.
    pub seed: u64,
    /// How far it is; `None` where it was never started.
    pub status: Option<Status>,
    /// The metric after its last epoch, where it is done.
    pub value: Option<f64>,
    /// Seconds of training, all attempts together.
    pub seconds: f64,
    /// Why it failed.
    pub reason: Option<String>,
}

impl TrialResult {
    /// A trial of which nothing is known yet.
    fn unknown(id: &str, seed: u64) -> Self {
        Self { id: id.into(), seed, status: None, value: None, seconds: 0.0, reason: None }
    }
}

/// A figure that somebody published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublishedFigure {
    /// The figure.
    pub value: f64,
    /// What it measures.
    pub metric: String,
    /// Where it was published.
    pub source: String,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Value names joined by `, `.
    pub name: String,
    /// Mean of the metric over seeds that are done.
    pub mean: Option<f64>,
    /// Sample standard deviation, from two seeds on.
    pub deviation: Option<f64>,
    /// Mean of the differences to the first row's trial of the same seed, over the seeds that both have done.
    pub difference: Option<f64>,
    /// Their sample standard deviation, from two seeds on. Trials of a seed see the same images in the same order, so that differences
    /// between them may vary less than the trials do.
    pub difference_deviation: Option<f64>,
    /// Against the first row, with the noise of images and seeds; corrected for the number of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against_first: Option<Change>,
    /// What the backbone costs.
    pub cost: Option<RowCost>,
    /// A published figure; another measurement, on other data, by other people.
    pub published: Option<PublishedFigure>,
    /// Its trials.
    pub trials: Vec<TrialResult>,
}

impl Row {
    /// The difference to the first row, for people.
    pub fn difference_text(&self) -> Option<String> {
        let difference = self.difference?;
        Some(self.difference_deviation.map_or(format!("{difference:+.4}"), |d| format!("{difference:+.4} ± {d:.4}")))
    }

    /// The verdict against the first row, for people.
    pub fn verdict_text(&self) -> Option<String> {
        let c = self.against_first.as_ref()?;
        Some(format!("{} ({:+.4} to {:+.4})", c.word(), c.low, c.high))
    }

    /// The metric of every seed that is done.
    pub fn values(&self) -> Vec<f64> {
        self.trials.iter().filter_map(|t| t.value).collect()
    }
}

/// All of a sweep's results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Title of the sweep.
    pub title: String,
    /// A note for readers.
    pub note: String,
    /// Name of the setting.
    pub setting: String,
    /// The metric.
    pub metric: String,
    /// Rows, in the plan's order.
    pub rows: Vec<Row>,
}

/// Reads what there is, of all shards. `costs` are in the order of the plan's rows.
///
/// # Errors
/// The disk's.
pub fn collect(plan: &Plan, folder: &SweepFolder, costs: &[Option<RowCost>]) -> Result<Results, TrainError> {
    let published = |name: &String| {
        let figure = plan.published.iter().find(|p| p.row == *name)?;
        Some(PublishedFigure { value: figure.value, metric: figure.metric.clone(), source: figure.source.clone() })
    };
    let row = |(i, name): (usize, &String)| Row {
        name: name.clone(),
        mean: None,
        deviation: None,
        difference: None,
        difference_deviation: None,
        against_first: None,
        cost: costs.get(i).copied().flatten(),
        published: published(name),
        trials: plan.trials.iter().filter(|t| t.row == *name).map(|t| TrialResult::unknown(&t.id, t.seed)).collect(),
    };
    let mut results = Results {
        title: plan.title.clone(),
        note: plan.note.clone(),
        setting: plan.setting.clone(),
        metric: plan.metric.clone(),
        rows: plan.rows.iter().enumerate().map(row).collect(),
    };
    refresh(&mut results, folder)?;
    Ok(results)
}

/// Reads the state and the metric of every trial again: a sweep that goes on is reported as it is now.
///
/// # Errors
/// The disk's.
pub fn refresh(results: &mut Results, folder: &SweepFolder) -> Result<(), TrainError> {
    for row in &mut results.rows {
        for trial in &mut row.trials {
            let state = folder.state(&trial.id)?;
            *trial = TrialResult::unknown(&trial.id, trial.seed);
            let Some(state) = state else { continue };
            if state.status == Status::Done {
                trial.value = last_metric(&metrics::read(&folder.metrics_log(&trial.id))?, &results.metric);
            }
            trial.status = Some(state.status);
            trial.seconds = state.seconds;
            trial.reason = state.reason;
        }
        (row.mean, row.deviation) = statistics(&row.values());
    }
    if let Some((first, others)) = results.rows.split_first_mut() {
        for row in others {
            (row.difference, row.difference_deviation) = statistics(&differences(row, first));
        }
    }
    Ok(())
}

/// A row's values minus those of another row with the same seeds.
fn differences(row: &Row, other: &Row) -> Vec<f64> {
    let same_seed = |t: &TrialResult| other.trials.iter().find(|o| o.seed == t.seed)?.value;
    row.trials.iter().filter_map(|t| Some(t.value? - same_seed(t)?)).collect()
}

/// The metric of the last evaluation. (Not of the best one: to choose the best of many evaluations on the set that is reported would
/// flatter, and flatter noisy rows most.)
pub fn last_metric(records: &[Record], metric: &str) -> Option<f64> {
    records.iter().rev().find_map(|record| match record {
        Record::Eval(eval) => Some(eval.metric(metric)),
        _ => None,
    })?
}

/// Mean, and sample standard deviation from two values on.
pub fn statistics(values: &[f64]) -> (Option<f64>, Option<f64>) {
    if values.is_empty() {
        return (None, None);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.len() > 1).then(|| (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt());
    (Some(mean), deviation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{EvalRecord, StepRecord};

    #[test]
    fn mean_and_deviation() {
        assert_eq!(statistics(&[]), (None, None));
        assert_eq!(statistics(&[0.5]), (Some(0.5), None));
        // (1, 2, 4): mean 7/3, squared deviations 16/9 + 1/9 + 25/9 = 42/9, over n - 1 = 2: 21/9.
        let (mean, deviation) = statistics(&[1.0, 2.0, 4.0]);
        assert!((mean.unwrap() - 7.0 / 3.0).abs() < 1e-15 && (deviation.unwrap() - (21.0f64 / 9.0).sqrt()).abs() < 1e-15);
    }

    #[test]
    fn the_last_evaluation_counts_not_the_best() {
        let eval =
            |step, value| Record::Eval(EvalRecord { step, metrics: vec![("bbox/AP".into(), value)], ..Default::default() });
        let records = [eval(1, 0.9), eval(2, 0.3), Record::Step(StepRecord::default())];
        assert_eq!(last_metric(&records, "bbox/AP"), Some(0.3));
        assert_eq!(last_metric(&records, "segm/AP"), None);
        assert_eq!(last_metric(&[], "bbox/AP"), None);
    }
}
