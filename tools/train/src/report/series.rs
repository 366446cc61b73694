//! Records to curves of bearable length.

use repghost_coco::metrics::RECALL_POINTS;
use repghost_coco::Evaluation;
use serde::Serialize;

use super::source::RunData;
use super::view::View;
use crate::run::Record;

/// Points that a curve has at most; beyond, neighbours are averaged.
const POINTS: usize = 400;

/// A curve of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// Index of the run.
    pub run: usize,
    /// x and y.
    pub points: Vec<[f64; 2]>,
}

/// The curves of one quantity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantity {
    /// Its name.
    pub name: String,
    /// One line per run.
    pub lines: Vec<Line>,
}

/// A chart with the quantities that it can show.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chart {
    /// What it is about.
    pub title: &'static str,
    /// What x is.
    pub x: &'static str,
    /// What can be chosen; the first is shown at the beginning.
    pub quantities: Vec<Quantity>,
}

impl Chart {
    fn new(title: &'static str, x: &'static str) -> Self {
        Self { title, x, quantities: vec![] }
    }

    fn add(&mut self, name: &str, run: usize, x: f64, y: Option<f64>) {
        let Some(y) = y.filter(|y| y.is_finite()) else { return };
        let at = self.quantities.iter().position(|q| q.name == name).unwrap_or_else(|| {
            self.quantities.push(Quantity { name: name.into(), lines: vec![] });
            self.quantities.len() - 1
        });
        let lines = &mut self.quantities[at].lines;
        match lines.last_mut().filter(|l| l.run == run) {
            Some(line) => line.points.push([x, y]),
            None => lines.push(Line { run, points: vec![[x, y]] }),
        }
    }
}

/// The course of all runs, and precision over recall where detections were measured.
pub fn charts(runs: &[RunData], views: &[View]) -> Vec<Chart> {
    let mut loss = Chart::new("Training loss", "epoch");
    let mut validation = Chart::new("Validation", "epoch");
    let mut course = Chart::new("Course", "epoch");
    for (i, run) in runs.iter().enumerate() {
        let headline = run.headline().map(str::to_string);
        for record in &run.records {
            match record {
                Record::Step(r) => {
                    loss.add("sum of losses", i, r.epoch, Some(r.loss));
                    r.losses.iter().for_each(|(name, value)| loss.add(&name.replace('_', " "), i, r.epoch, Some(*value)));
                    course.add("learning rate", i, r.epoch, Some(r.lr));
                    course.add("images per second", i, r.epoch, Some(r.images_per_second));
                    course.add("share of time waiting for data", i, r.epoch, Some(r.data_seconds / r.step_seconds));
                    course.add("gradient norm", i, r.epoch, r.grad_norm);
                    course.add("memory, MiB", i, r.epoch, r.memory_mib);
                    course.add("memory of the card, MiB", i, r.epoch, r.card_mib);
                }
                Record::Eval(r) => {
                    // -1 stands where there is nothing to measure.
                    let mut add = |name: &str| validation.add(name, i, r.epoch as f64, r.metric(name).filter(|v| *v >= 0.0));
                    headline.iter().for_each(|name| add(name));
                    r.metrics.iter().filter(|(name, _)| Some(name) != headline.as_ref()).for_each(|(name, _)| add(name));
                }
                Record::Epoch(_) => {}
            }
        }
    }
    let mut recall = Chart::new("Precision over recall", "recall");
    for (run, evaluation) in views.iter().flat_map(|v| v.runs.iter().flat_map(|r| r.evaluations.iter().map(|e| (r.run, e)))) {
        precision(&mut recall, run, evaluation);
    }
    let mut charts = vec![loss, validation, recall, course];
    charts.retain(|c| !c.quantities.is_empty());
    for line in charts.iter_mut().flat_map(|c| &mut c.quantities).flat_map(|q| &mut q.lines) {
        line.points = thinned(&line.points);
    }
    charts
}

fn precision(chart: &mut Chart, run: usize, evaluation: &Evaluation) {
    for curve in &evaluation.curves {
        let of = curve.iou.map_or("mean over IoU 0.50 to 0.95".to_string(), |iou| format!("IoU {iou:.2}"));
        let name = format!("{}, {of}", evaluation.iou_type.name());
        for (i, precision) in curve.precision.iter().enumerate() {
            chart.add(&name, run, i as f64 / (RECALL_POINTS - 1) as f64, Some(*precision));
        }
    }
}

/// Means over neighbours, so that no more than [`POINTS`] are left; five significant digits are kept.
fn thinned(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let each = points.len().div_ceil(POINTS).max(1);
    let mean = |chunk: &[[f64; 2]], axis: usize| rounded(chunk.iter().map(|p| p[axis]).sum::<f64>() / chunk.len() as f64);
    points.chunks(each).map(|chunk| [mean(chunk, 0), mean(chunk, 1)]).collect()
}

fn rounded(v: f64) -> f64 {
    format!("{v:.4e}").parse().unwrap_or(v)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_averaged_and_short_ones_kept() {
        let points: Vec<[f64; 2]> = (0..1000).map(|i| [i as f64, (i % 2) as f64]).collect();
        let thin = thinned(&points);
        // Three of a thousand each: 334 points; the first is the mean of 0, 1, 2 and of 0, 1, 0.
        assert_eq!((thin.len(), thin[0]), (334, [1.0, 0.33333]));
        assert_eq!(thinned(&points[..3]), points[..3]);
        assert_eq!(rounded(123456.789), 123460.0);
    }

    #[test]
    fn quantities_stand_once_with_a_line_a_run() {
        let mut chart = Chart::new("t", "x");
        for run in 0..2 {
            chart.add("a", run, 0.0, Some(1.0));
            chart.add("b", run, 0.0, Some(f64::NAN));
            chart.add("a", run, 1.0, Some(2.0));
            chart.add("c", run, 1.0, None);
        }
        assert_eq!(chart.quantities.len(), 1);
        assert_eq!(chart.quantities[0].lines[1], Line { run: 1, points: vec![[0.0, 1.0], [1.0, 2.0]] });
    }
}
