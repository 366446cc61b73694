//! Precision over recall.

use std::path::Path;

use repghost_coco::metrics::{Evaluation, RECALL_POINTS};

use super::{panels, Line, Panel, COLOURS};
use crate::error::TrainError;

/// Draws the mean over classes at several IoU thresholds, and the classes at IoU 0.50 (the first few of them by number of objects).
///
/// # Errors
/// The disk's.
pub fn precision_recall(evaluation: &Evaluation, path: &Path) -> Result<(), TrainError> {
    let line = |name: String, precision: &[f64]| {
        let at = |i: usize| i as f64 / (RECALL_POINTS - 1) as f64;
        Line { name, points: precision.iter().enumerate().map(|(i, p)| (at(i), *p)).collect() }
    };
    let means =
        evaluation.curves.iter().map(|c| line(c.iou.map_or("mean of all".into(), |i| format!("IoU {i:.2}")), &c.precision));
    let mut classes: Vec<_> = evaluation.classes.iter().filter(|c| !c.precision50.is_empty()).collect();
    classes.sort_by_key(|c| std::cmp::Reverse(c.objects));
    let named =
        |c: &&repghost_coco::metrics::ClassNumbers| line(format!("{} {:.2}", c.name, c.ap50.unwrap_or(0.0)), &c.precision50);
    let classes = classes.iter().take(COLOURS.len()).map(named).collect();
    let panel = |title, lines| Panel { title, x: "recall", lines, y_range: Some((0.0, 1.02)), log: false };
    panels(path, &[panel("precision, mean of classes", means.collect()), panel("precision by class at IoU 0.50", classes)])
}
