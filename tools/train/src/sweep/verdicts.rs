//! Which rows of a sweep differ from its first row by more than chance.
//!
//! Rows of detectors are compared as [`crate::compare`] does, on the detections of all their seeds. Other metrics, and sweeps whose data is
//! not here, have the noise of seeds alone. Chances are corrected for the number of rows (Holm).

use repghost_coco::judge::comparison::{holm, of_runs};
use repghost_coco::judge::{compare, Change, CompareOptions};
use repghost_coco::{read_detections, Dataset, Detection, IouType};

use super::folder::SweepFolder;
use super::results::{Results, Row};
use crate::compare::validation_data;

/// Bootstrap samples of a row.
const SAMPLES: usize = 400;

/// Sets each row's verdict against the first row. `note` is called with what could not be read.
pub fn judge(results: &mut Results, folder: &SweepFolder, note: &mut dyn FnMut(String)) {
    let mut changes: Vec<Option<Change>> = match images(results, folder) {
        Ok(Some(changes)) => changes,
        Ok(None) => seeds(results),
        Err(reason) => {
            note(format!("verdicts rest on the noise of seeds alone: {reason}"));
            seeds(results)
        }
    };
    let mut told: Vec<Change> = changes.iter().flatten().cloned().collect();
    holm(&mut told);
    let mut told = told.into_iter();
    for (row, change) in results.rows.iter_mut().zip(&mut changes) {
        row.against_first = change.take().and_then(|_| told.next());
    }
}

/// By seeds alone.
fn seeds(results: &Results) -> Vec<Option<Change>> {
    let first = results.rows.first().map(Row::values).unwrap_or_default();
    let of = |(i, row): (usize, &Row)| (i > 0).then(|| of_runs(&row.name, &first, &row.values())).flatten();
    results.rows.iter().enumerate().map(of).collect()
}

/// By images and seeds; `None` where the metric is none of detections.
fn images(results: &Results, folder: &SweepFolder) -> Result<Option<Vec<Option<Change>>>, String> {
    let Some((iou_type, metric)) = metric(&results.metric) else { return Ok(None) };
    let done = |row: &Row| -> Vec<String> { row.trials.iter().filter(|t| t.value.is_some()).map(|t| t.id.clone()).collect() };
    let Some(first) = results.rows.first().filter(|row| !done(row).is_empty()) else { return Ok(None) };
    let run = folder.run_folder(&done(first)[0]);
    let (truth, _) = validation_data(&run).map_err(|e| e.to_string())?;
    let read =
        |row: &Row| -> Result<Vec<Vec<Detection>>, String> { done(row).iter().map(|id| found(folder, id, &truth)).collect() };
    let a = read(first)?;
    let mut changes = vec![None];
    for row in &results.rows[1..] {
        let b = read(row)?;
        if b.is_empty() {
            changes.push(None);
            continue;
        }
        let compared = compare(&truth, &slices(&a), &slices(&b), &CompareOptions { iou_type, samples: SAMPLES });
        changes.push(compared.map_err(|e| e.to_string())?.overall.into_iter().find(|change| change.name == metric));
    }
    Ok(Some(changes))
}

fn slices(runs: &[Vec<Detection>]) -> Vec<&[Detection]> {
    runs.iter().map(Vec::as_slice).collect()
}

fn found(folder: &SweepFolder, id: &str, truth: &Dataset) -> Result<Vec<Detection>, String> {
    read_detections(&folder.run_folder(id).detections(), truth).map_err(|e| e.to_string())
}

/// `bbox/AP50` to what it compares; `None` for metrics of which no interval is computed.
fn metric(name: &str) -> Option<(IouType, &str)> {
    let (kind, metric) = name.split_once('/')?;
    let iou_type = [IouType::Bbox, IouType::Segm].into_iter().find(|t| t.name() == kind)?;
    ["AP", "AP50", "AP75"].contains(&metric).then_some((iou_type, metric))
}
