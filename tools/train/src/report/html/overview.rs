//! What the reader sees first: the numbers of each run.

use maud::{html, Markup};

use super::table::{duration, heads, table, Cell};
use crate::report::source::{RunData, Sources};
use crate::run::Record;

/// Numbers of the first cards, by metric.
const SHOWN: [&str; 8] = ["segm/AP", "segm/AP50", "bbox/AP", "bbox/AP50", "bbox/AP75", "top1", "top5", "accuracy"];

/// The section.
pub fn body(sources: &Sources, notes: &[String]) -> Markup {
    let runs: Vec<&RunData> = sources.runs.iter().collect();
    html! {
        @for note in notes { p.note { (note) } }
        @match runs.as_slice() {
            [] => p { "No run has been started yet." },
            [one] => (cards(one)),
            many => (comparison(many)),
        }
    }
}

/// A run's numbers, large.
fn cards(run: &RunData) -> Markup {
    let last = run.last_evaluation();
    let metric = |name: &&str| last.and_then(|e| e.metric(name)).map(|v| (name.to_string(), format!("{v:.3}")));
    let mut numbers: Vec<(String, String)> = SHOWN.iter().filter_map(metric).take(5).collect();
    numbers.push(("epochs".into(), epochs(run)));
    numbers.push(("time".into(), duration(run.seconds())));
    if let Some(speed) = speed(run) {
        numbers.push(("images per second".into(), format!("{speed:.1}")));
    }
    html! {
        p.lead { (model(run)) }
        dl.cards { @for (name, value) in &numbers { div.card { dt { (name) } dd { (value) } } } }
        @if let Some(e) = last {
            p.hint {
                "Measured after epoch " (e.epoch) ", step " (e.step)
                @if e.ema { ", with averaged weights" }
                @if let Some(reason) = &e.stop { ": " (reason) }
                ". The best " (run.headline().unwrap_or("number")) " of all evaluations is " (best(run)) "."
            }
        } @else { p.hint { "Not evaluated yet." } }
    }
}

fn comparison(runs: &[&RunData]) -> Markup {
    let mut names: Vec<String> = Vec::new();
    for run in runs {
        let known = |name: &&str| run.last_evaluation().is_some_and(|e| e.metric(name).is_some());
        names.extend(
            SHOWN.iter().filter(|n| known(n) && !names.iter().any(|m| m == **n)).map(|n| n.to_string()).collect::<Vec<_>>(),
        );
    }
    let mut columns = heads(["run", "model"]);
    columns.extend(names.iter().cloned());
    columns.extend(heads(["best", "epochs", "time", "images / s"]));
    let row = |run: &&RunData| {
        let mut cells = vec![Cell::html(html! { span.dot data-colour=(run.colour) {} (run.name) }), Cell::text(model(run))];
        cells.extend(names.iter().map(|n| Cell::number(run.last_evaluation().and_then(|e| e.metric(n)), 3)));
        cells.push(Cell::shown(best_value(run), best(run)));
        cells.push(Cell::shown(last_epoch(run), epochs(run)));
        cells.push(Cell::shown(Some(run.seconds()), duration(run.seconds())));
        cells.push(Cell::number(speed(run), 1));
        cells
    };
    html! {
        (table("Runs, measured after their last evaluation", &columns, runs.iter().map(row).collect()))
        p.hint { "“best” is the highest of all evaluations of the number that decides which weights are kept; compare runs by the last one." }
    }
}

/// The model in a few words.
fn model(run: &RunData) -> String {
    let m = &run.loaded.experiment.model;
    let head = m.head.title();
    format!("{} {}x, {head}", m.backbone.name, m.backbone.width)
}

fn best_value(run: &RunData) -> Option<f64> {
    let headline = |r: &Record| match r {
        Record::Eval(e) if e.headline.is_finite() => Some(e.headline),
        _ => None,
    };
    run.records.iter().filter_map(headline).max_by(f64::total_cmp)
}

fn best(run: &RunData) -> String {
    best_value(run).map_or(super::table::NOTHING.into(), |v| format!("{v:.3}"))
}

fn last_epoch(run: &RunData) -> Option<f64> {
    run.records.iter().rev().find_map(|r| match r {
        Record::Step(s) => Some(s.epoch),
        Record::Epoch(e) => Some(e.epoch as f64),
        Record::Eval(_) => None,
    })
}

fn epochs(run: &RunData) -> String {
    let planned = run.loaded.experiment.train.epochs;
    match last_epoch(run) {
        // A length in steps: the epochs that it makes depend on the data.
        done if run.loaded.experiment.train.steps.is_some() => format!("{:.1}", done.unwrap_or(0.0)),
        Some(done) if done >= planned as f64 => planned.to_string(),
        Some(done) => format!("{:.1} of {planned}", done),
        None => format!("0 of {planned}"),
    }
}

/// Median speed of training.
fn speed(run: &RunData) -> Option<f64> {
    let of = |r: &Record| match r {
        Record::Step(s) => Some(s.images_per_second),
        _ => None,
    };
    let mut all: Vec<f64> = run.records.iter().filter_map(of).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}
