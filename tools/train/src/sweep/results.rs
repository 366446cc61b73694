//! From the folders of trials to rows: mean and deviation over seeds.

use serde::Serialize;

use super::cost::RowCost;
use super::folder::{Status, SweepFolder};
use super::plan::Plan;
use crate::error::TrainError;
use crate::run::{metrics, Record};

/// A trial's result.
#[derive(Clone, Debug, PartialEq, Serialize)]
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

/// A figure that somebody published.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PublishedFigure {
    /// The figure.
    pub value: f64,
    /// What it measures.
    pub metric: String,
    /// Who says so.
    pub source: String,
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Value names joined by `, `.
    pub name: String,
    /// Mean of the metric over seeds that are done.
    pub mean: Option<f64>,
    /// Sample standard deviation, from two seeds on.
    pub deviation: Option<f64>,
    /// Mean minus the first row's mean.
    pub difference: Option<f64>,
    /// What the backbone costs.
    pub cost: Option<RowCost>,
    /// A published figure; another measurement, on other data, by other people.
    pub published: Option<PublishedFigure>,
    /// Its trials.
    pub trials: Vec<TrialResult>,
}

impl Row {
    /// The metric of every seed that is done.
    pub fn values(&self) -> Vec<f64> {
        self.trials.iter().filter_map(|t| t.value).collect()
    }
}

/// All of a sweep's results.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// Title of the sweep.
    pub title: String,
    /// What a reader should know.
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
    let mut rows = Vec::new();
    for (i, name) in plan.rows.iter().enumerate() {
        let mut trials = Vec::new();
        for trial in plan.trials.iter().filter(|t| t.row == *name) {
            let state = folder.state(&trial.id)?;
            let status = state.as_ref().map(|s| s.status);
            let value = match status {
                Some(Status::Done) => last_metric(&metrics::read(&folder.metrics_log(&trial.id))?, &plan.metric),
                _ => None,
            };
            trials.push(TrialResult {
                id: trial.id.clone(),
                seed: trial.seed,
                status,
                value,
                seconds: state.as_ref().map_or(0.0, |s| s.seconds),
                reason: state.and_then(|s| s.reason),
            });
        }
        let published = plan.published.iter().find(|p| p.row == *name).map(|p| PublishedFigure {
            value: p.value,
            metric: p.metric.clone(),
            source: p.source.clone(),
        });
        let mut row = Row {
            name: name.clone(),
            mean: None,
            deviation: None,
            difference: None,
            cost: costs.get(i).copied().flatten(),
            published,
            trials,
        };
        (row.mean, row.deviation) = statistics(&row.values());
        rows.push(row);
    }
    let first = rows.first().and_then(|r| r.mean);
    for row in rows.iter_mut().skip(1) {
        row.difference = row.mean.zip(first).map(|(mean, first)| mean - first);
    }
    Ok(Results {
        title: plan.title.clone(),
        note: plan.note.clone(),
        setting: plan.setting.clone(),
        metric: plan.metric.clone(),
        rows,
    })
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
