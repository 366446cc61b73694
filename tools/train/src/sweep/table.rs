//! Results as Markdown, CSV and JSON.

use std::fmt::Write;

use super::folder::Status;
use super::results::{Results, Row};

/// What stands in an empty cell.
const NOTHING: &str = "–";

/// A table for people. Published figures stand in the last column, whose head names what they measure.
pub fn markdown(results: &Results) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "# {}\n", if results.title.is_empty() { "Sweep" } else { &results.title });
    let setting = if results.setting.is_empty() { String::new() } else { format!("Setting: {}. ", results.setting) };
    let _ = writeln!(out, "{setting}{} after the last epoch, mean ± deviation over seeds.\n", results.metric);
    let with_published = results.rows.iter().any(|r| r.published.is_some());
    let mut head = vec![
        "row".to_string(),
        results.metric.clone(),
        "seeds".into(),
        "difference to first".into(),
        "against first (95 %)".into(),
        "parameters, M (fused)".into(),
        "multiply-adds at 224, M".into(),
        "latency, ms (fused)".into(),
    ];
    if with_published {
        head.push(published_head(results));
    }
    let _ = writeln!(out, "| {} |", head.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(head.len()));
    for row in &results.rows {
        let mut cells = vec![
            row.name.clone(),
            mean_text(row),
            format!("{}/{}", row.values().len(), row.trials.len()),
            row.difference_text().unwrap_or(NOTHING.into()),
            row.verdict_text().unwrap_or(NOTHING.into()),
            row.cost.map_or(NOTHING.into(), |c| format!("{:.3} ({:.3})", millions(c.parameters), millions(c.fused_parameters))),
            row.cost.map_or(NOTHING.into(), |c| format!("{:.1}", millions(c.macs))),
            latency_text(row),
        ];
        if with_published {
            cells.push(row.published.as_ref().map_or(NOTHING.into(), |p| p.value.to_string()));
        }
        let _ = writeln!(out, "| {} |", cells.iter().map(|c| c.replace('|', "\\|")).collect::<Vec<_>>().join(" | "));
    }
    out.push_str(&notes(results));
    out
}

fn published_head(results: &Results) -> String {
    let mut metrics: Vec<&str> = results.rows.iter().filter_map(|r| r.published.as_ref()).map(|p| p.metric.as_str()).collect();
    metrics.dedup();
    format!("published by others: {}", metrics.join("; "))
}

/// Everything that keeps a reader from wrong conclusions.
fn notes(results: &Results) -> String {
    let mut out = String::from("\n");
    if !results.note.is_empty() {
        let _ = writeln!(out, "{}\n", results.note);
    }
    let mut sources: Vec<String> =
        results.rows.iter().filter_map(|r| r.published.as_ref()).map(|p| format!("{} ({})", p.source, p.metric)).collect();
    sources.sort();
    sources.dedup();
    if !sources.is_empty() {
        let _ = writeln!(out, "Published figures are not ours and not of this setting: {}.\n", sources.join("; "));
    }
    let most_seeds = results.rows.iter().map(|r| r.trials.len()).max().unwrap_or(0);
    if results.rows.iter().any(|r| r.difference_deviation.is_some()) {
        out.push_str("Differences are taken seed by seed; ± is their deviation.\n\n");
    }
    if results.rows.iter().any(|r| r.against_first.is_some()) {
        out.push_str(
            "“Against first” is the verdict of a test at 5 % over all rows (Holm), with the 95 % interval of each difference alone. It counts the noise of \
             the validation images (bootstrap) and, from two seeds on, that of seeds. “Cannot tell” is no finding.\n\n",
        );
    }
    if most_seeds < 3 {
        let _ = writeln!(out, "With {most_seeds} seed(s) per row, differences cannot be distinguished from chance.\n");
    }
    for trial in results.rows.iter().flat_map(|r| &r.trials) {
        match trial.status {
            Some(Status::Failed) => {
                let _ = writeln!(out, "- {} failed: {}", trial.id, trial.reason.as_deref().unwrap_or("unknown reason"));
            }
            Some(Status::Done) if trial.value.is_none() => {
                let _ = writeln!(out, "- {} has no {} in its last evaluation", trial.id, results.metric);
            }
            Some(Status::Done) => {}
            Some(Status::Running | Status::Interrupted) => {
                let _ = writeln!(out, "- {} is not finished", trial.id);
            }
            None => {
                let _ = writeln!(out, "- {} was not started", trial.id);
            }
        }
    }
    out
}

fn mean_text(row: &Row) -> String {
    match (row.mean, row.deviation) {
        (Some(mean), Some(deviation)) => format!("{mean:.4} ± {deviation:.4}"),
        (Some(mean), None) => format!("{mean:.4}"),
        _ => NOTHING.into(),
    }
}

fn latency_text(row: &Row) -> String {
    match row.cost.and_then(|c| c.latency_ms.zip(c.fused_latency_ms)) {
        Some((unfused, fused)) => format!("{unfused:.2} ({fused:.2})"),
        None => NOTHING.into(),
    }
}

/// Millions.
pub fn millions(n: i64) -> f64 {
    n as f64 / 1e6
}

/// A table for programs: full doubles, empty cells where there is nothing.
pub fn csv(results: &Results) -> String {
    let mut out = String::from(
        "row,metric,mean,deviation,seeds_done,seeds,difference,difference_deviation,verdict,low,high,p,parameters,fused_parameters,macs_224,latency_ms,fused_latency_ms,\
         published_value,published_metric,published_source\n",
    );
    let number = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
    for row in &results.rows {
        let cost = |f: fn(super::cost::RowCost) -> i64| row.cost.map_or(String::new(), |c| f(c).to_string());
        let published = row.published.as_ref();
        let cells = [
            quoted(&row.name),
            quoted(&results.metric),
            number(row.mean),
            number(row.deviation),
            row.values().len().to_string(),
            row.trials.len().to_string(),
            number(row.difference),
            number(row.difference_deviation),
            row.against_first.as_ref().map_or(String::new(), |c| c.word().into()),
            number(row.against_first.as_ref().map(|c| c.low)),
            number(row.against_first.as_ref().map(|c| c.high)),
            number(row.against_first.as_ref().map(|c| c.p)),
            cost(|c| c.parameters),
            cost(|c| c.fused_parameters),
            cost(|c| c.macs),
            number(row.cost.and_then(|c| c.latency_ms)),
            number(row.cost.and_then(|c| c.fused_latency_ms)),
            number(published.map(|p| p.value)),
            published.map_or(String::new(), |p| quoted(&p.metric)),
            published.map_or(String::new(), |p| quoted(&p.source)),
        ];
        let _ = writeln!(out, "{}", cells.join(","));
    }
    out
}

fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    }
}
