//! The course of a run: losses, learning rate, accuracy.

use std::path::Path;

use super::Record;
use crate::error::TrainError;
use crate::plots::{panels, Line, Panel};

/// Metrics of an evaluation that are drawn.
const DRAWN: [&str; 7] = ["bbox/AP", "bbox/AP50", "segm/AP", "segm/AP50", "top1", "top5", "mean_class_top1"];

/// Draws the records of a run. Without any there is no picture.
///
/// # Errors
/// The disk's.
pub fn draw(records: &[Record], path: &Path) -> Result<(), TrainError> {
    let mut losses: Vec<Line> = vec![];
    let mut rate = Line { name: "learning rate".into(), points: vec![] };
    let mut accuracy: Vec<Line> = vec![];
    for record in records {
        match record {
            Record::Step(r) => {
                add(&mut losses, "sum", r.epoch, r.loss);
                for (name, value) in &r.losses {
                    add(&mut losses, name, r.epoch, *value);
                }
                rate.points.push((r.epoch, r.lr));
            }
            Record::Epoch(_) => {}
            Record::Eval(r) => {
                let named = |name: &&str| r.metric(name).map(|v| (name.to_string(), v));
                let drawn: Vec<(String, f64)> = DRAWN.iter().filter_map(named).collect();
                let all = if drawn.is_empty() { r.metrics.clone() } else { drawn };
                for (name, value) in all {
                    add(&mut accuracy, &name, r.epoch as f64, value);
                }
            }
        }
    }
    if losses.is_empty() && accuracy.is_empty() {
        return Ok(());
    }
    let panel = |title, lines, y_range, log| Panel { title, x: "epoch", lines, y_range, log };
    let rates = if rate.points.iter().all(|p| p.1 > 0.0) { (vec![rate], true) } else { (vec![rate], false) };
    panels(
        path,
        &[
            panel("training loss", losses, None, false),
            panel("learning rate", rates.0, None, rates.1),
            panel("validation", accuracy, Some((0.0, 1.0)), false),
        ],
    )
}

fn add(lines: &mut Vec<Line>, name: &str, x: f64, y: f64) {
    match lines.iter_mut().find(|l| l.name == name) {
        Some(line) => line.points.push((x, y)),
        None => lines.push(Line { name: name.into(), points: vec![(x, y)] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{EvalRecord, StepRecord};

    #[test]
    fn a_run_is_drawn() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("curves.png");
        draw(&[], &path).unwrap();
        assert!(!path.exists());
        let step =
            |i: u64| StepRecord { step: i, epoch: i as f64 / 4.0, lr: 0.1, loss: 2.0 / (1 + i) as f64, ..Default::default() };
        let mut records: Vec<Record> = (0..9).map(|i| Record::Step(step(i))).collect();
        records.push(Record::Eval(EvalRecord { epoch: 2, metrics: vec![("bbox/AP".into(), 0.4)], ..Default::default() }));
        draw(&records, &path).unwrap();
        let picture = repghost_coco::read_image(&path, &Default::default()).unwrap();
        assert_eq!(picture.dimensions(), (1680, 400));
        let coloured = picture.pixels().filter(|p| p.0 == [0, 114, 178]).count();
        assert!(coloured > 300, "only {coloured} pixels of the first line's colour");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }
}
