//! From which score on detections are to be shown: chosen on measured data, with an interval, for all classes together and for each.
//!
//! A detection is a hit where it matches an object at an IoU of 0.5. Leaving out low scores does not change what became of the others,
//! so one matching serves all thresholds. A chosen threshold lies halfway between two scores: what was chosen doesn't change where
//! another runtime rounds the last bit otherwise.

use serde::{Deserialize, Serialize};

use super::matched::Matched;
use super::ranked::{Hit, Ranked};
use super::resample::{quantile, resampled};
use crate::annotations::Dataset;
use crate::detections::Detection;
use crate::files::write_atomic;
use crate::metrics::{IouType, MetricError};

/// Objects that a class needs for a threshold of its own.
pub const FEWEST_OBJECTS: usize = 10;

/// Bootstrap samples behind an interval.
const SAMPLES: usize = 200;

/// What a threshold is chosen for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The highest F1, the harmonic mean of precision and recall.
    F1,
    /// The lowest threshold whose precision is at least this: it has the highest recall.
    Precision(f64),
    /// The highest threshold whose recall is at least this: it has the fewest false alarms.
    Recall(f64),
}

impl std::str::FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?}: expected f1, precision=0.95 or recall=0.9 (a number above 0 and up to 1)");
        let share = |value: &str| value.parse::<f64>().ok().filter(|v| *v > 0.0 && *v <= 1.0).ok_or_else(expected);
        match text.split_once('=') {
            None if text == "f1" => Ok(Goal::F1),
            Some(("precision", value)) => Ok(Goal::Precision(share(value)?)),
            Some(("recall", value)) => Ok(Goal::Recall(share(value)?)),
            _ => Err(expected()),
        }
    }
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Goal::F1 => f.write_str("f1"),
            Goal::Precision(value) => write!(f, "precision={value}"),
            Goal::Recall(value) => write!(f, "recall={value}"),
        }
    }
}

/// A chosen threshold and what it gives on the images that it was chosen on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// Detections of this score and above are shown.
    pub threshold: f64,
    /// Lower end of its 95 % interval (bootstrap over images).
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Hits among the shown detections.
    pub precision: f64,
    /// Objects that are found.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

/// A class's threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassThreshold {
    /// The category's id.
    pub category_id: i64,
    /// The class.
    pub name: String,
    /// Its objects in the data that was measured on.
    pub objects: usize,
    /// Its own threshold; without one the shared threshold applies.
    pub chosen: Option<Chosen>,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Thresholds, and what they were chosen on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// What they were chosen for: `f1`, `precision=0.95`, `recall=0.9`.
    pub goal: String,
    /// Annotation file that they were chosen on.
    pub annotations: String,
    /// Weights whose detections they were chosen on; empty where only detections were known.
    #[serde(default)]
    pub weights: String,
    /// Images that they were chosen on.
    pub images: usize,
    /// For all classes together.
    pub shared: Chosen,
    /// By class; empty where one threshold serves all.
    #[serde(default)]
    pub classes: Vec<ClassThreshold>,
}

impl Thresholds {
    /// The threshold of a class.
    pub fn of(&self, name: &str) -> f64 {
        let own = self.classes.iter().find(|class| class.name == name).and_then(|class| class.chosen);
        own.unwrap_or(self.shared).threshold
    }

    /// The lowest of all.
    pub fn lowest(&self) -> f64 {
        self.classes.iter().filter_map(|class| class.chosen).map(|c| c.threshold).fold(self.shared.threshold, f64::min)
    }

    /// The detections that are shown.
    pub fn apply(&self, truth: &Dataset, detections: &[Detection]) -> Vec<Detection> {
        let of = |id: i64| truth.classes.by_category(id).map_or(self.shared.threshold, |class| self.of(&class.name));
        detections.iter().filter(|d| d.score >= of(d.category_id)).cloned().collect()
    }

    /// Writes them as JSON, whole or not at all.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, path: &std::path::Path) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        write_atomic(path, text.as_bytes())
    }

    /// Reads a file that [`Thresholds::write`] wrote.
    ///
    /// # Errors
    /// One line: what the system reports, and as [`Thresholds::parse`].
    pub fn read(path: &std::path::Path) -> Result<Self, String> {
        /// A thousand classes take some hundred kB.
        const MAX_BYTES: u64 = 64 << 20;
        Self::parse(&repghost_files::read_text_bounded(path, MAX_BYTES).map_err(|e| e.to_string())?)
    }

    /// Reads what [`Thresholds`] serializes to.
    ///
    /// # Errors
    /// One line: no such JSON, or a threshold outside of 0 to 1.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let all = read.classes.iter().filter_map(|class| class.chosen).chain([read.shared]);
        match all.map(|c| c.threshold).find(|t| !(0.0..=1.0).contains(t)) {
            Some(bad) => Err(format!("threshold {bad} is not between 0 and 1")),
            None => Ok(read),
        }
    }
}

/// Chooses thresholds.
///
/// # Errors
/// [`MetricError`]: no object or no detection to choose on; no threshold that reaches the goal.
pub fn choose(
    truth: &Dataset,
    detections: &[Detection],
    iou_type: IouType,
    goal: Goal,
    per_class: bool,
) -> Result<Thresholds, MetricError> {
    let ranked = Ranked::new(&Matched::new(truth, detections, iou_type)?);
    let shared = chosen(&Pool::of(&ranked, 0..ranked.classes.len()), ranked.images, goal).map_err(MetricError::Evaluator)?;
    let class = |k: usize| {
        let pool = Pool::of(&ranked, k..k + 1);
        let objects = pool.objects_in_all();
        let result = match objects {
            FEWEST_OBJECTS.. => chosen(&pool, ranked.images, goal),
            n => Err(format!("cannot be told from {n} objects")),
        };
        let category_id = ranked.categories[k];
        let name = truth.classes.by_category(category_id).map_or(String::new(), |class| class.name.clone());
        let reason = result.as_ref().err().cloned();
        ClassThreshold { category_id, name, objects, chosen: result.ok(), reason }
    };
    Ok(Thresholds {
        goal: goal.to_string(),
        annotations: truth.path.display().to_string(),
        weights: String::new(),
        images: ranked.images,
        shared,
        classes: if per_class { (0..ranked.classes.len()).map(class).collect() } else { vec![] },
    })
}

/// Precision, recall and F1 of thresholds on a ground truth.
///
/// # Errors
/// [`MetricError`], as an evaluation.
pub fn measure(truth: &Dataset, detections: &[Detection], iou_type: IouType, threshold: f64) -> Result<Counts, MetricError> {
    let ranked = Ranked::new(&Matched::new(truth, detections, iou_type)?);
    let pool = Pool::of(&ranked, 0..ranked.classes.len());
    let shown = pool.detections.iter().filter(|hit| hit.score >= threshold);
    let (found, wrong) = shown.fold((0, 0), |(f, w), hit| if hit.hits & pool.bit != 0 { (f + 1, w) } else { (f, w + 1) });
    Ok(Counts { found, wrong, objects: pool.objects_in_all() as u64 })
}

/// The best threshold for F1 of all classes together, where there is one.
pub(super) fn best_f1(ranked: &Ranked) -> Option<f64> {
    let pool = Pool::of(ranked, 0..ranked.classes.len());
    pool.best(&vec![1; ranked.images], Goal::F1).ok().map(|(threshold, _)| threshold)
}

fn chosen(pool: &Pool, images: usize, goal: Goal) -> Result<Chosen, String> {
    let (threshold, counts) = pool.best(&vec![1; images], goal)?;
    let samples = resampled(images, SAMPLES, |weights| pool.best(weights, goal).ok().map(|(threshold, _)| threshold));
    let mut samples: Vec<f64> = samples.into_iter().flatten().collect();
    let mut at = |q| quantile(&mut samples, q).unwrap_or(threshold);
    let (low, high) = (at(0.025), at(0.975));
    Ok(Chosen { threshold, low, high, precision: counts.precision(), recall: counts.recall(), f1: counts.f1() })
}

/// Hits and false alarms above a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Objects that are found.
    pub found: u64,
    /// False alarms.
    pub wrong: u64,
    /// Objects.
    pub objects: u64,
}

impl Counts {
    /// Hits among all that is shown; 1 where nothing is.
    pub fn precision(&self) -> f64 {
        match self.found + self.wrong {
            0 => 1.0,
            shown => self.found as f64 / shown as f64,
        }
    }

    /// Objects that are found among all; 1 where there is none.
    pub fn recall(&self) -> f64 {
        match self.objects {
            0 => 1.0,
            objects => self.found as f64 / objects as f64,
        }
    }

    /// Harmonic mean of precision and recall.
    pub fn f1(&self) -> f64 {
        2.0 * self.found as f64 / (self.found + self.wrong + self.objects).max(1) as f64
    }
}

/// Detections of some classes, by falling score.
struct Pool {
    detections: Vec<Hit>,
    objects: Vec<(u32, u32)>,
    bit: u16,
}

impl Pool {
    fn of(ranked: &Ranked, classes: std::ops::Range<usize>) -> Self {
        let bit = 1 << ranked.at_half();
        let classes = &ranked.classes[classes];
        let counted = classes.iter().flat_map(|class| class.detections.iter().filter(|hit| hit.ignored & bit == 0).copied());
        let mut detections: Vec<Hit> = counted.collect();
        detections.sort_by(|a, b| b.score.total_cmp(&a.score));
        Self { detections, objects: classes.iter().flat_map(|class| class.objects.iter().copied()).collect(), bit }
    }

    fn objects_in_all(&self) -> usize {
        self.objects.iter().map(|&(_, n)| n as usize).sum()
    }

    /// The best threshold on a selection of images; of equally good ones the highest, which shows the least.
    fn best(&self, weights: &[u32], goal: Goal) -> Result<(f64, Counts), String> {
        let weight = |image: u32| u64::from(weights[image as usize]);
        let mut counts =
            Counts { objects: self.objects.iter().map(|&(i, n)| weight(i) * u64::from(n)).sum(), ..Counts::default() };
        if counts.objects == 0 {
            return Err("there is no object to choose on".into());
        }
        let mut best: Option<(f64, Counts)> = None;
        let mut highest = 0.0f64;
        let mut i = 0;
        while i < self.detections.len() {
            let score = self.detections[i].score;
            while let Some(hit) = self.detections.get(i).filter(|hit| hit.score == score) {
                let w = weight(hit.image);
                if hit.hits & self.bit != 0 {
                    counts.found += w;
                } else {
                    counts.wrong += w;
                }
                i += 1;
            }
            if counts.found + counts.wrong == 0 {
                continue;
            }
            // Halfway to the next lower score, which is not shown.
            let below = self.detections.get(i).map_or(0.0, |next| next.score.max(0.0));
            let here = Some((score / 2.0 + below / 2.0, counts));
            match goal {
                Goal::F1 => {
                    highest = highest.max(counts.f1());
                    if best.is_none_or(|(_, b)| counts.f1() > b.f1()) {
                        best = here;
                    }
                }
                Goal::Precision(least) => {
                    highest = highest.max(counts.precision());
                    if counts.precision() >= least && best.is_none_or(|(_, b)| counts.found > b.found) {
                        best = here;
                    }
                }
                Goal::Recall(least) => {
                    highest = highest.max(counts.recall());
                    if counts.recall() >= least && best.is_none() {
                        best = here;
                    }
                }
            }
        }
        best.filter(|(_, b)| b.found > 0 || goal != Goal::F1).ok_or_else(|| match goal {
            Goal::F1 => "no detection hits an object".into(),
            Goal::Precision(least) => format!("no threshold reaches a precision of {least}; the highest is {highest:.3}"),
            Goal::Recall(least) => format!("no threshold reaches a recall of {least}; the highest is {highest:.3}"),
        })
    }
}
