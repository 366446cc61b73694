//! Times of detectors as Markdown, CSV, JSON and a picture.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use repghost_coco::files::write_atomic;
use repghost_train::plots::{bars, Bar, BarPanel};

use super::detectors::DetectorRow;
use super::outcome::machine;
use crate::error::ExportError;

/// The table. With `threads` of each runtime.
pub fn markdown(rows: &[DetectorRow], threads: usize, notes: &[String]) -> String {
    let mut text = format!(
        "# Detectors\n\n{}; {threads} threads, an image at a time, milliseconds per image (median, 95th percentile)\n\n",
        machine()
    );
    text += "| detector | runtime | precision | form | network | p95 | end to end | p95 | images/s | MB | AP |\n";
    text += "|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|\n";
    for r in rows {
        let ap = r.ap.map_or("–".into(), |ap| format!("{ap:.4}"));
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.1} | {ap} |",
            r.name,
            r.runtime,
            r.precision,
            r.form.name(),
            r.network.median_ms,
            r.network.p95_ms,
            r.end_to_end.median_ms,
            r.end_to_end.p95_ms,
            1e3 / r.end_to_end.median_ms.max(1e-9),
            r.bytes as f64 / 1e6
        );
    }
    text += "\nNetwork: the detector with its post-processing. End to end: read, decode, resize, network, boxes in pixels of the file.\n";
    notes.iter().for_each(|note| text += &format!("\n- {note}\n"));
    text
}

/// Writes `detectors.md`, `.csv`, `.json` and `.png` into a folder; returns their paths.
///
/// # Errors
/// The disk's.
pub fn write(rows: &[DetectorRow], threads: usize, notes: &[String], folder: &Path) -> Result<Vec<PathBuf>, ExportError> {
    let path = |ending: &str| folder.join(format!("detectors.{ending}"));
    let texts = [
        (path("md"), markdown(rows, threads, notes).into_bytes()),
        (path("csv"), csv(rows).map_err(|e| ExportError::io(path("csv"))(std::io::Error::other(e)))?),
        (path("json"), serde_json::to_vec_pretty(rows).map_err(|e| ExportError::io(path("json"))(e.into()))?),
    ];
    for (path, text) in &texts {
        write_atomic(path, text).map_err(ExportError::io(path))?;
    }
    bars(&path("png"), &[panel(rows)])?;
    Ok(texts.into_iter().map(|(path, _)| path).chain([path("png")]).collect())
}

fn csv(rows: &[DetectorRow]) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::Writer::from_writer(vec![]);
    out.write_record([
        "detector",
        "runtime",
        "precision",
        "form",
        "runs",
        "network_median_ms",
        "network_p95_ms",
        "end_to_end_median_ms",
        "end_to_end_p95_ms",
        "bytes",
        "AP",
    ])?;
    for r in rows {
        let times = [r.network.median_ms, r.network.p95_ms, r.end_to_end.median_ms, r.end_to_end.p95_ms].map(|v| v.to_string());
        let names = [r.name.clone(), r.runtime.into(), r.precision.clone(), r.form.name().into(), r.network.runs.to_string()];
        let end = [r.bytes.to_string(), r.ap.map_or(String::new(), |ap| ap.to_string())];
        out.write_record(names.into_iter().chain(times).chain(end))?;
    }
    out.into_inner().map_err(|e| e.into_error().into())
}

/// Latency of each row, with AP behind it.
fn panel(rows: &[DetectorRow]) -> BarPanel {
    let mut runtimes: Vec<&str> = Vec::new();
    for row in rows {
        if !runtimes.contains(&row.runtime) {
            runtimes.push(row.runtime);
        }
    }
    let bar = |r: &DetectorRow| {
        let ap = r.ap.map_or(String::new(), |ap| format!("  AP {ap:.3}"));
        Bar {
            label: format!("{} {} {}", r.name, r.precision, r.form.name()),
            value: r.end_to_end.median_ms,
            text: format!("{:.1} ms{ap}", r.end_to_end.median_ms),
            colour: runtimes.iter().position(|name| *name == r.runtime).unwrap_or(0),
        }
    };
    BarPanel {
        title: "End to end".into(),
        axis: "milliseconds per image".into(),
        legend: runtimes.iter().map(|name| (*name).to_owned()).collect(),
        bars: rows.iter().map(bar).collect(),
    }
}
