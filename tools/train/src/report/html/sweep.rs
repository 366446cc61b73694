//! A sweep: its table, pictures and trials.

use maud::{html, Markup};

use super::table::{duration, heads, table, Cell, NOTHING};
use crate::error::TrainError;
use crate::report::picture::as_data_uri;
use crate::report::source::SweepData;
use crate::sweep::cost::RowCost;
use crate::sweep::results::{Results, Row};
use crate::sweep::table::millions;
use crate::sweep::Status;

/// Pictures of a sweep's folder, with what they show.
const PICTURES: [(&str, &str); 4] = [
    ("bars.svg", "The metric of each row; whiskers are the deviation over seeds, dots the seeds"),
    ("macs.svg", "The metric against multiply-adds, with the frontier"),
    ("latency.svg", "The metric against latency, with the frontier"),
    ("curves.svg", "Training loss of all trials"),
];

/// Bytes of a picture at most.
const MAX_BYTES: u64 = 64 << 20;

/// The section.
///
/// # Errors
/// Pictures that cannot be read.
pub fn body(sweeps: &[SweepData]) -> Result<Markup, TrainError> {
    let parts: Result<Vec<Markup>, TrainError> = sweeps.iter().map(|s| one(s, sweeps.len() > 1)).collect();
    Ok(html! { @for part in parts? { (part) } })
}

fn one(sweep: &SweepData, several: bool) -> Result<Markup, TrainError> {
    let r = &sweep.results;
    let mut pictures = Vec::new();
    for (name, alt) in PICTURES {
        let path = sweep.root.join(name);
        if path.is_file() {
            let bytes = repghost_files::read_bounded(&path, MAX_BYTES).map_err(TrainError::io(&path))?;
            pictures.push((as_data_uri("image/svg+xml", &bytes), alt));
        }
    }
    let published = r.rows.iter().any(|row| row.published.is_some());
    Ok(html! {
        @if several { h3 { (if r.title.is_empty() { "Sweep" } else { &r.title }) } }
        p.lead { "Setting “" (r.setting) "”: " (r.metric) " after the last epoch, mean ± deviation over seeds. " (progress(r)) }
        (rows(r, published))
        @if published { p.published.hint { span.tag { "published" } " figures are not ours and not of this setting: " (cited(r)) "." } }
        @if !r.note.is_empty() { p.hint { (r.note) } }
        div.pictures {
            @for (uri, alt) in &pictures {
                figure.card { div.scroll tabindex="0" role="region" aria-label=(alt) { img src=(uri) alt=(alt); } figcaption { (alt) } }
            }
        }
        (trials(r))
    })
}

fn progress(r: &Results) -> String {
    let all: Vec<Option<Status>> = r.rows.iter().flat_map(|row| row.trials.iter().map(|t| t.status)).collect();
    let count = |s: Status| all.iter().filter(|t| **t == Some(s)).count();
    let failed = match count(Status::Failed) {
        0 => String::new(),
        n => format!(", {n} failed"),
    };
    format!("{} of {} trials are done{failed}.", count(Status::Done), all.len())
}

fn rows(r: &Results, published: bool) -> Markup {
    let mut columns = heads(["row"]);
    columns.push(r.metric.clone());
    columns.extend(heads([
        "deviation",
        "seeds",
        "difference to first",
        "against first (95 %)",
        "parameters, M",
        "fused, M",
        "multiply-adds at 224, M",
    ]));
    columns.extend(heads(["latency, ms", "fused, ms"]));
    if published {
        columns.push("published by others".into());
    }
    let row = |row: &Row| {
        let cost = |f: &dyn Fn(&RowCost) -> Option<f64>| row.cost.as_ref().and_then(f);
        let done = row.values().len();
        let mut cells = vec![
            Cell::text(&row.name),
            Cell::number(row.mean, 4),
            Cell::shown(row.deviation, row.deviation.map_or(NOTHING.into(), |d| format!("± {d:.4}"))),
            Cell::shown(Some(done as f64), format!("{done}/{}", row.trials.len())),
            Cell::shown(row.difference, row.difference_text().unwrap_or(NOTHING.into())),
            Cell::text(row.verdict_text().unwrap_or(NOTHING.into())),
            Cell::number(cost(&|c| Some(millions(c.parameters))), 3),
            Cell::number(cost(&|c| Some(millions(c.fused_parameters))), 3),
            Cell::number(cost(&|c| Some(millions(c.macs))), 1),
            Cell::number(cost(&|c| c.latency_ms), 2),
            Cell::number(cost(&|c| c.fused_latency_ms), 2),
        ];
        if published {
            let figure = row.published.as_ref();
            let text = figure.map_or(NOTHING.into(), |p| format!("{} ({})", p.value, p.metric));
            cells.push(Cell::shown(figure.map(|p| p.value), text));
        }
        cells
    };
    table("Results", &columns, r.rows.iter().map(row).collect())
}

fn cited(r: &Results) -> String {
    let mut sources: Vec<&str> = r.rows.iter().filter_map(|row| row.published.as_ref()).map(|p| p.source.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    sources.join("; ")
}

fn trials(r: &Results) -> Markup {
    let rows = r.rows.iter().flat_map(|row| row.trials.iter().map(move |trial| (row, trial)));
    let cells = |(row, trial): (&Row, &crate::sweep::results::TrialResult)| {
        let (state, class) = match trial.status {
            Some(Status::Done) => ("done", "state done"),
            Some(Status::Running) => ("running", "state"),
            Some(Status::Interrupted) => ("interrupted", "state"),
            Some(Status::Failed) => ("failed", "state failed"),
            None => ("not started", "state"),
        };
        vec![
            Cell::text(&trial.id),
            Cell::text(&row.name),
            Cell::shown(Some(trial.seed as f64), trial.seed.to_string()),
            Cell::html(html! { span class=(class) { (state) } }),
            Cell::number(trial.value, 4),
            Cell::shown((trial.seconds > 0.0).then_some(trial.seconds), duration(trial.seconds)),
            Cell::text(trial.reason.as_deref().unwrap_or("")),
        ]
    };
    let mut columns = heads(["trial", "row", "seed", "state"]);
    columns.push(r.metric.clone());
    columns.extend(heads(["time", "why it failed"]));
    html! { details open { summary { "Trials" } (table("Trials", &columns, rows.map(cells).collect())) } }
}
