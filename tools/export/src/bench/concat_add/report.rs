//! Tables and the picture.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use repghost_train::plots::{bars, Bar, BarPanel};

use super::super::report::{finish, write_bytes};
use super::outcome::{Outcome, Row};
use crate::error::ExportError;

/// Kinds of operators that are shown; the rest is summed up.
const SHOWN: usize = 7;

/// Markdown tables.
pub fn markdown(o: &Outcome) -> String {
    let mut text = format!(
        "# Concatenation against addition: the {} joins of {}\n\n{}; images of {} x {}; milliseconds per run, medians\n\n\
         | runtime | batch | threads | concat | add | concat/add | network | within: concat | add | share of concat | saved by add |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        o.sites, o.network, o.machine, o.size[0], o.size[1]
    );
    for r in &o.rows {
        let within = |v: Option<f64>| v.map_or_else(|| "-".to_string(), |v| format!("{v:.3}"));
        let percent = |v: Option<f64>| v.map_or_else(|| "-".to_string(), |v| format!("{:.1} %", 100.0 * v));
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.3} | {:.3} | {:.2} | {:.3} | {} | {} | {} | {} |",
            r.runtime.name,
            r.batch,
            r.threads,
            r.concat_ms,
            r.add_ms,
            r.concat_ms / r.add_ms,
            r.network_ms,
            within(r.concat_within_ms),
            within(r.add_within_ms),
            percent(share(r)),
            percent(saved(r))
        );
    }
    text.push_str(
        "\nShares and what additions save are of the network's time, by the times within it, where the runtime reports them. (Times of the joins \
         alone do not give them: OpenVINO, for one, concatenates within a network by writing both halves to where they belong.)\n",
    );
    for r in o.rows.iter().filter(|r| !r.shares.is_empty()) {
        let parts: Vec<String> = top(r).iter().map(|(op, s)| format!("{op} {:.1} %", 100.0 * s)).collect();
        let _ = write!(text, "\n- {}, batch {}, threads {}: {}", r.runtime.name, r.batch, r.threads, parts.join(", "));
    }
    for note in &o.notes {
        let _ = write!(text, "\n- {note}");
    }
    text.push('\n');
    text
}

/// Share of the joins in the network's time.
fn share(r: &Row) -> Option<f64> {
    Some(r.concat_within_ms? / r.network_ms)
}

/// Share of the network's time that additions would save.
fn saved(r: &Row) -> Option<f64> {
    Some((r.concat_within_ms? - r.add_within_ms?) / r.network_ms)
}

fn top(r: &Row) -> Vec<(String, f64)> {
    let mut shown: Vec<(String, f64)> = r.shares.iter().take(SHOWN).cloned().collect();
    let rest: f64 = r.shares.iter().skip(SHOWN).map(|(_, s)| s).sum();
    if rest > 0.0 {
        shown.push(("others".into(), rest));
    }
    shown
}

/// A header, then one line per row.
fn csv(o: &Outcome) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::Writer::from_writer(vec![]);
    out.write_record(["runtime", "batch", "threads", "concat_ms", "add_ms", "network_ms", "concat_within_ms", "add_within_ms"])?;
    for r in &o.rows {
        let alone = [r.concat_ms, r.add_ms, r.network_ms].map(|ms| format!("{ms:.4}"));
        let within = [r.concat_within_ms, r.add_within_ms].map(|v| v.map_or_else(String::new, |ms| format!("{ms:.4}")));
        let counts = [r.batch.to_string(), r.threads.to_string()];
        let fields = counts.iter().chain(&alone).chain(&within).map(String::as_str);
        out.write_record(std::iter::once(r.runtime.name).chain(fields))?;
    }
    finish(out)
}

/// Writes `concat_add.md`, `.csv`, `.json` and `.png` into a folder.
///
/// # Errors
/// The disk's.
pub fn write(o: &Outcome, folder: &Path) -> Result<Vec<PathBuf>, ExportError> {
    std::fs::create_dir_all(folder).map_err(ExportError::io(folder))?;
    let path = |extension: &str| folder.join(format!("concat_add.{extension}"));
    let json = serde_json::to_string_pretty(o).map_err(|e| ExportError::Format { path: path("json"), why: e.to_string() })?;
    let csv = csv(o).map_err(|e| ExportError::Format { path: path("csv"), why: e.to_string() })?;
    for (extension, text) in [("md", markdown(o).into_bytes()), ("csv", csv), ("json", json.into_bytes())] {
        write_bytes(&path(extension), &text)?;
    }
    if !o.rows.is_empty() {
        bars(&path("png"), &panels(o))?;
    }
    Ok(["md", "csv", "json", "png"].map(path).to_vec())
}

fn panels(o: &Outcome) -> Vec<BarPanel> {
    let name = |r: &Row| format!("{}, batch {}, threads {}", r.runtime.name, r.batch, r.threads);
    let mut alone = BarPanel {
        title: format!("The {} joins of {}, alone", o.sites, o.network),
        axis: "milliseconds an image".into(),
        legend: vec!["concat".into(), "add".into()],
        bars: vec![],
    };
    for r in &o.rows {
        for (i, (kind, ms)) in [("concat", r.concat_ms), ("add", r.add_ms)].into_iter().enumerate() {
            let value = ms / r.batch as f64;
            let ratio = if i == 0 { format!(" ({:.2}x)", r.concat_ms / r.add_ms) } else { String::new() };
            alone.bars.push(Bar { label: format!("{}: {kind}", name(r)), value, text: format!("{value:.3}{ratio}"), colour: i });
        }
    }
    let mut all = vec![alone];
    for r in o.rows.iter().filter(|r| !r.shares.is_empty()) {
        let bar = |(op, share): (String, f64)| Bar {
            colour: usize::from(op.eq_ignore_ascii_case("concat")),
            label: op,
            value: 100.0 * share,
            text: format!("{:.1} %", 100.0 * share),
        };
        all.push(BarPanel {
            title: format!("Operators of {}: {}", o.network, name(r)),
            axis: saved(r).map_or_else(
                || "share of the time".to_string(),
                |saved| format!("share of the time; additions would save {:.1} %", 100.0 * saved),
            ),
            legend: vec![],
            bars: top(r).into_iter().map(bar).collect(),
        });
    }
    all
}
