//! The page. Tables and text are HTML and can be read without the script, which adds curves, sorting, pictures and the score slider.

mod diagnosis;
mod overview;
mod runs;
mod sweep;
mod table;

use maud::{html, Markup, PreEscaped, DOCTYPE};
use serde::Serialize;

use super::series::{charts, Chart};
use super::source::Sources;
use super::view::{View, KEPT};
use crate::error::TrainError;

const STYLE: &str = concat!(include_str!("../assets/page.css"), include_str!("../assets/parts.css"));
/// The script's parts, in order: each uses those before it.
const SCRIPT: [&str; 4] = [
    include_str!("../assets/page.js"),
    include_str!("../assets/tables.js"),
    include_str!("../assets/charts.js"),
    include_str!("../assets/viewer.js"),
];
/// The page may show what is in it and ask nobody for anything.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'";

/// What the script is given.
#[derive(Serialize)]
struct Data<'a> {
    runs: Vec<DataRun<'a>>,
    charts: Vec<Chart>,
    views: &'a [View],
}

#[derive(Serialize)]
struct DataRun<'a> {
    name: &'a str,
    colour: usize,
}

/// A part of the page.
struct Section {
    id: &'static str,
    title: &'static str,
    body: Markup,
}

/// The whole page.
///
/// # Errors
/// Data that is no JSON, which would be a bug.
pub fn page(sources: &Sources, views: &[View], notes: &[String]) -> Result<String, TrainError> {
    let charts = charts(&sources.runs, views);
    let mut sections = vec![Section { id: "overview", title: "Overview", body: overview::body(sources, notes) }];
    if !sources.sweeps.is_empty() {
        sections.push(Section { id: "sweep", title: "Sweep", body: sweep::body(&sources.sweeps)? });
    }
    if !charts.is_empty() {
        sections.push(Section { id: "curves", title: "Curves", body: curves(&charts, sources.runs.len()) });
    }
    if views.iter().any(|v| !v.images.is_empty()) {
        sections.push(Section {
            id: "predictions",
            title: "Predictions",
            body: html! { @for (i, v) in views.iter().enumerate() { (viewer(i, v)) } },
        });
        sections.push(Section { id: "worst", title: "Worst images", body: runs::worst(&sources.runs, views) });
    }
    if !views.is_empty() {
        sections.push(Section { id: "diagnosis", title: "Diagnosis", body: diagnosis::body(&sources.runs, views) });
        sections.push(Section { id: "classes", title: "Classes", body: runs::classes(&sources.runs, views) });
    }
    sections.push(Section { id: "configuration", title: "Configuration", body: runs::configuration(&sources.runs) });
    sections.push(Section { id: "environment", title: "Environment", body: runs::environment(&sources.runs) });
    let each = sources.runs.iter().map(|r| DataRun { name: &r.name, colour: r.colour });
    let data = Data { runs: each.collect(), charts, views };
    let data = serde_json::to_string(&data).map_err(|e| TrainError::Json { what: "the report's data", source: e })?;
    let title = title(sources);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content={ "repghost-det " (env!("CARGO_PKG_VERSION")) };
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#content" { "Skip to content" }
                header {
                    div.bar {
                        h1 { (title) }
                        button #theme type="button" hidden { "Dark" }
                    }
                    nav aria-label="Sections" {
                        @for s in &sections { a href={ "#" (s.id) } { (s.title) } }
                    }
                }
                main #content {
                    noscript { p.note { "Curves, pictures and sorting need JavaScript, which is switched off here." } }
                    @for s in &sections {
                        section id=(s.id) aria-labelledby={ (s.id) "-title" } {
                            h2 id={ (s.id) "-title" } { (s.title) }
                            (s.body)
                        }
                    }
                }
                footer { "Made by repghost-det " (env!("CARGO_PKG_VERSION")) ". This page is one file and asks nobody for anything." }
                // A `<` could end the element early.
                script #data type="application/json" { (PreEscaped(data.replace('<', "\\u003c"))) }
                script { @for part in SCRIPT { (PreEscaped(part)) } }
            }
        }
    };
    Ok(page.into_string())
}

fn title(sources: &Sources) -> String {
    match (sources.sweeps.as_slice(), sources.runs.as_slice()) {
        ([one], _) if !one.results.title.is_empty() => one.results.title.clone(),
        ([], [one]) => one.name.clone(),
        ([], runs) => format!("Comparison of {} runs", runs.len()),
        (sweeps, _) => format!("{} sweeps", sweeps.len()),
    }
}

fn curves(charts: &[Chart], runs: usize) -> Markup {
    html! {
        @if runs > 1 { div #legend.legend role="group" aria-label="Runs shown in the curves" {} }
        div.charts {
            @for (i, chart) in charts.iter().enumerate() {
                figure.card.chart data-chart=(i) { figcaption { (chart.title) } }
            }
        }
        p.hint { "Point at a curve, or focus it and use the arrow keys, to read values. Long curves are averaged to 400 points." }
    }
}

fn viewer(i: usize, view: &View) -> Markup {
    html! {
        div.viewer data-view=(i) {}
        p.hint {
            "Truth on the left. A solid box was found (IoU of 0.5 or more with an object of its class), a dashed one is an object that was "
            "missed or a false alarm. " (view.images.len()) " of " (view.total) " validation images are in this page, each with its "
            (KEPT) " best detections at most."
        }
    }
}
