//! Whether one detector is better than another: a paired bootstrap over images, and the noise of seeds where several runs are given.
//!
//! Both detectors are measured on the same bootstrap samples of the images, so that what makes an image hard cancels out. The
//! deviation of the difference over the samples is its standard error. Where a side has several runs (seeds), its number is their mean,
//! and the variance between the runs, pooled over both sides, is added: s² (1/a + 1/b). The interval is Student's with the degrees of
//! freedom of Welch and Satterthwaite. With one run a side the noise of seeds is not in it, which [`Comparison::seed_noise`] states.
//!
//! Classes are many questions at once: their verdicts are corrected after Holm (1979), so that in 95 of 100 comparisons of equals no
//! class is called better or worse.

use serde::{Deserialize, Serialize};

use super::matched::Matched;
use super::ranked::Ranked;
use super::resample::{deviation, resampled};
use super::student;
use crate::annotations::Dataset;
use crate::detections::Detection;
use crate::metrics::{IouType, MetricError};

/// Level of a test: a difference counts where chance makes one so large in fewer than 5 of 100 cases.
const LEVEL: f64 = 0.05;

/// How detectors are compared.
#[derive(Clone, Copy, Debug)]
pub struct CompareOptions {
    /// What is compared.
    pub iou_type: IouType,
    /// Bootstrap samples.
    pub samples: usize,
}

impl Default for CompareOptions {
    fn default() -> Self {
        Self { iou_type: IouType::Bbox, samples: 1000 }
    }
}

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// B is better than A.
    Better,
    /// B is worse than A.
    Worse,
    /// Chance alone makes such differences.
    CannotTell,
    /// The numbers are equal on each sample.
    Equal,
}

/// A metric of two detectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// `AP`, `AP50`, `AP75`, or the name of a class (whose AP it is).
    pub name: String,
    /// Of A; the mean of its runs.
    pub a: f64,
    /// Of B; the mean of its runs.
    pub b: f64,
    /// B minus A.
    pub difference: f64,
    /// Lower end of the 95 % interval of the difference.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Standard error of the difference.
    pub error: f64,
    /// Chance of a difference at least that large between equals; of classes after Holm's correction.
    pub p: f64,
    /// What it means.
    pub verdict: Verdict,
}

/// Two detectors, each with one run or several.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// What was compared.
    pub iou_type: IouType,
    /// Images.
    pub images: usize,
    /// Runs of A and of B.
    pub runs: [usize; 2],
    /// Whether the noise of seeds is part of the intervals: it is where a side has several runs.
    pub seed_noise: bool,
    /// Bootstrap samples.
    pub samples: usize,
    /// `AP`, `AP50`, `AP75`.
    pub overall: Vec<Change>,
    /// Average precision by class, those without an object left out.
    pub classes: Vec<Change>,
}

impl Comparison {
    /// The change of AP.
    pub fn ap(&self) -> &Change {
        &self.overall[0]
    }
}

/// Compares the detections of A with those of B, a list per run, on one ground truth.
///
/// # Errors
/// [`MetricError`]: a side without a run, detections without a box, no object at all.
pub fn compare(
    truth: &Dataset,
    a: &[&[Detection]],
    b: &[&[Detection]],
    options: &CompareOptions,
) -> Result<Comparison, MetricError> {
    let side = |runs: &[&[Detection]]| -> Result<Vec<Ranked>, MetricError> {
        runs.iter().map(|d| Ok(Ranked::new(&Matched::new(truth, d, options.iou_type)?))).collect()
    };
    let (a, b) = (side(a)?, side(b)?);
    let Some(first) = a.first().filter(|_| !b.is_empty()) else {
        return Err(MetricError::Evaluator("each side of a comparison needs a run".into()));
    };
    let images = first.images;
    let whole = Numbers::of(&a, &b, &vec![1; images]);
    if whole.overall.is_empty() {
        return Err(MetricError::Evaluator(format!("{}: there is no object to compare on", truth.path.display())));
    }
    let samples = resampled(images, options.samples, |weights| Numbers::of(&a, &b, weights));
    let freedom = images.saturating_sub(1).max(1) as f64;
    let overall = ["AP", "AP50", "AP75"]
        .iter()
        .enumerate()
        .map(|(m, name)| {
            let differences = samples.iter().filter_map(|s| Some(s.overall.get(m)?.difference()));
            change(name, &whole.overall[m], differences.collect(), freedom)
        })
        .collect();
    let mut classes: Vec<Change> = Vec::new();
    for (k, sides) in whole.classes.iter().enumerate() {
        let Some(sides) = sides else { continue };
        let name = truth.classes.by_category(first.categories[k]).map_or(String::new(), |class| class.name.clone());
        let with_objects = first.classes[k].objects.len().saturating_sub(1).max(1) as f64;
        let differences = samples.iter().filter_map(|s| Some(s.classes[k].as_ref()?.difference()));
        classes.push(change(&name, sides, differences.collect(), with_objects));
    }
    holm(&mut classes);
    Ok(Comparison {
        iou_type: options.iou_type,
        images,
        runs: [a.len(), b.len()],
        seed_noise: a.len() + b.len() > 2,
        samples: options.samples,
        overall,
        classes,
    })
}

/// A metric of each run.
#[derive(Clone, Debug)]
struct Sides {
    a: Vec<f64>,
    b: Vec<f64>,
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

impl Sides {
    fn difference(&self) -> f64 {
        mean(&self.b) - mean(&self.a)
    }

    /// Variance of the difference that comes from the runs, and its degrees of freedom.
    fn seeds(&self) -> Option<(f64, f64)> {
        let freedom = (self.a.len() + self.b.len()) as f64 - 2.0;
        let squares = |v: &[f64]| (v.len() as f64 - 1.0) * deviation(v).powi(2);
        let variance = (squares(&self.a) + squares(&self.b)) / freedom;
        (freedom > 0.0).then(|| (variance * (1.0 / self.a.len() as f64 + 1.0 / self.b.len() as f64), freedom))
    }
}

/// The metrics of all runs on a selection of images.
struct Numbers {
    /// AP, AP50, AP75; empty where the selection has no object.
    overall: Vec<Sides>,
    /// AP by class; `None` where the selection has no object of it.
    classes: Vec<Option<Sides>>,
}

impl Numbers {
    fn of(a: &[Ranked], b: &[Ranked], weights: &[u32]) -> Self {
        let side = |runs: &[Ranked]| -> Vec<Vec<Option<Vec<f64>>>> {
            runs.iter().map(|r| (0..r.classes.len()).map(|k| r.average_precision(k, weights)).collect()).collect()
        };
        let (sides, at) = ([side(a), side(b)], [None, Some(a[0].at(0.5)), Some(a[0].at(0.75))]);
        // The mean over the thresholds, or the value at one.
        let value = |aps: &[f64], at: Option<usize>| at.map_or(mean(aps), |t| aps[t]);
        let over_classes = |run: &[Option<Vec<f64>>], at: Option<usize>| {
            let measured: Vec<f64> = run.iter().flatten().map(|aps| value(aps, at)).collect();
            (!measured.is_empty()).then(|| mean(&measured))
        };
        let overall = at.iter().filter_map(|&at| {
            let all = |runs: &[Vec<Option<Vec<f64>>>]| runs.iter().map(|run| over_classes(run, at)).collect::<Option<Vec<f64>>>();
            Some(Sides { a: all(&sides[0])?, b: all(&sides[1])? })
        });
        let of_class = |k: usize| {
            let all = |runs: &[Vec<Option<Vec<f64>>>]| {
                runs.iter().map(|run| run[k].as_ref().map(|aps| mean(aps))).collect::<Option<Vec<f64>>>()
            };
            Some(Sides { a: all(&sides[0])?, b: all(&sides[1])? })
        };
        Self { overall: overall.collect(), classes: (0..a[0].classes.len()).map(of_class).collect() }
    }
}

/// The interval and the verdict. `freedom`: of the error that comes from the images.
fn change(name: &str, whole: &Sides, samples: Vec<f64>, freedom: f64) -> Change {
    let difference = whole.difference();
    let of_images = deviation(&samples).powi(2);
    let (of_seeds, seeds_freedom) = whole.seeds().unwrap_or((0.0, 1.0));
    let error = (of_images + of_seeds).sqrt();
    let freedom = match (of_images + of_seeds).powi(2) / (of_images.powi(2) / freedom + of_seeds.powi(2) / seeds_freedom) {
        welch if welch.is_finite() => welch,
        _ => freedom,
    };
    let half = if error > 0.0 { student::half_width(freedom) * error } else { 0.0 };
    let p = student::two_sided(difference, error, freedom);
    let mut change = Change {
        name: name.to_owned(),
        a: mean(&whole.a),
        b: mean(&whole.b),
        difference,
        low: difference - half,
        high: difference + half,
        error,
        p,
        verdict: Verdict::CannotTell,
    };
    change.verdict = verdict(&change);
    change
}

fn verdict(change: &Change) -> Verdict {
    match change {
        Change { difference, error, .. } if *difference == 0.0 && *error == 0.0 => Verdict::Equal,
        Change { p, .. } if *p >= LEVEL => Verdict::CannotTell,
        Change { difference, .. } if *difference > 0.0 => Verdict::Better,
        _ => Verdict::Worse,
    }
}

/// The change of a number of which only the values of runs are known: the noise of seeds alone. `None` where the runs are too few.
pub fn of_runs(name: &str, a: &[f64], b: &[f64]) -> Option<Change> {
    let sides = Sides { a: a.to_vec(), b: b.to_vec() };
    let enough = !a.is_empty() && !b.is_empty() && sides.seeds().is_some();
    enough.then(|| change(name, &sides, vec![], 1.0))
}

/// Holm's correction: the smallest of m chances times m, the next times m - 1, and so on, none below the one before.
pub fn holm(changes: &mut [Change]) {
    let mut order: Vec<usize> = (0..changes.len()).collect();
    order.sort_by(|a, b| changes[*a].p.total_cmp(&changes[*b].p));
    let mut least = 0.0f64;
    for (rank, i) in order.into_iter().enumerate() {
        least = least.max(changes[i].p * (changes.len() - rank) as f64).min(1.0);
        changes[i].p = least;
        changes[i].verdict = verdict(&changes[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holm 1979: (0.01, 0.04, 0.03) of three become 0.03, 0.06 and 0.06.
    #[test]
    fn many_classes_are_corrected() {
        let one = |p| change("", &Sides { a: vec![0.0], b: vec![0.1] }, vec![0.0, 0.1], 9.0).with_p(p);
        let mut changes = [one(0.01), one(0.04), one(0.03)];
        holm(&mut changes);
        let expected = [0.03, 0.06, 0.06];
        assert!(changes.iter().zip(expected).all(|(c, e)| (c.p - e).abs() < 1e-12), "{changes:?}");
        assert_eq!(changes[0].verdict, Verdict::Better);
        assert_eq!(changes[1].verdict, Verdict::CannotTell);
    }

    impl Change {
        fn with_p(mut self, p: f64) -> Self {
            self.p = p;
            self
        }
    }

    /// Runs 0.1, 0.3 against 0.5, 0.5: deviations 0.1414 and 0, pooled variance (0.02 + 0) / 2 = 0.01, of the difference 0.01 (1/2 + 1/2).
    #[test]
    fn runs_add_their_noise() {
        let sides = Sides { a: vec![0.1, 0.3], b: vec![0.5, 0.5] };
        let (variance, freedom) = sides.seeds().unwrap();
        assert!((variance - 0.01).abs() < 1e-12 && freedom == 2.0);
        let change = change("AP", &sides, vec![0.3, 0.3], 9.0);
        assert!((change.error - 0.1).abs() < 1e-12 && (change.high - change.difference - 0.4303).abs() < 1e-4, "{change:?}");
        assert_eq!(Sides { a: vec![0.1], b: vec![0.2] }.seeds(), None);
    }
}
