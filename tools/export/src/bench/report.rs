//! A benchmark as Markdown, CSV, JSON and a picture.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use repghost_coco::files::write_atomic;
use repghost_train::plots::{bars, Bar, BarPanel};

use super::outcome::Outcome;
use super::stats::Row;
use crate::error::ExportError;

/// Rows of one batch and number of threads.
fn groups(rows: &[Row]) -> Vec<(i64, usize, Vec<&Row>)> {
    let mut all: Vec<(i64, usize, Vec<&Row>)> = vec![];
    for row in rows {
        let (batch, threads) = (row.variant.batch, row.variant.threads);
        match all.iter_mut().find(|g| g.0 == batch && g.1 == threads) {
            Some(group) => group.2.push(row),
            None => all.push((batch, threads, vec![row])),
        }
    }
    all
}

/// Markdown tables, one per batch and number of threads.
pub fn markdown(o: &Outcome) -> String {
    let mut text = format!("# {}\n\n{}; images of {} x {}\n", o.title, o.machine, o.size[0], o.size[1]);
    for (batch, threads, rows) in groups(&o.rows) {
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            "\n## batch {batch}, threads {threads}\n\n| model | form | runtime | median ms | mean ms | p95 ms | images/s | speed-up |\n\
             |---|---|---|---:|---:|---:|---:|---:|\n"
        );
        for r in rows {
            let speed = r.speed_up.map_or_else(String::new, |s| format!("{s:.2}x"));
            let (v, s) = (&r.variant, &r.stats);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.3} | {:.3} | {:.3} | {:.1} | {speed} |",
                v.model,
                v.form.name(),
                v.runtime.name,
                s.median_ms,
                s.mean_ms,
                s.p95_ms,
                r.images_per_second
            );
        }
    }
    for note in &o.notes {
        let _ = write!(text, "\n- {note}\n");
    }
    text
}

/// A header, then one line per row.
///
/// # Errors
/// None in memory.
pub fn csv(o: &Outcome) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::Writer::from_writer(vec![]);
    out.write_record([
        "model",
        "form",
        "runtime",
        "batch",
        "threads",
        "runs",
        "median_ms",
        "mean_ms",
        "p95_ms",
        "min_ms",
        "images_per_second",
        "speed_up",
    ])?;
    for r in &o.rows {
        let (v, s) = (&r.variant, &r.stats);
        let numbers = [v.batch as usize, v.threads, s.runs].map(|n| n.to_string());
        let times = [s.median_ms, s.mean_ms, s.p95_ms, s.min_ms].map(|t| format!("{t:.4}"));
        let speeds = [format!("{:.2}", r.images_per_second), r.speed_up.map_or_else(String::new, |s| format!("{s:.4}"))];
        let names = [v.model.as_str(), v.form.name(), v.runtime.name];
        out.write_record(names.into_iter().chain(numbers.iter().chain(&times).chain(&speeds).map(String::as_str)))?;
    }
    finish(out)
}

/// The bytes that were written.
///
/// # Errors
/// None in memory.
pub fn finish(out: csv::Writer<Vec<u8>>) -> Result<Vec<u8>, csv::Error> {
    out.into_inner().map_err(|e| e.into_error().into())
}

/// Writes a file as a whole or not at all.
///
/// # Errors
/// The disk's.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    write_atomic(path, bytes).map_err(ExportError::io(path))
}

/// Writes `bench.md`, `bench.csv`, `bench.json` and `bench.png` into a folder.
///
/// # Errors
/// The disk's.
pub fn write(o: &Outcome, folder: &Path) -> Result<Vec<PathBuf>, ExportError> {
    std::fs::create_dir_all(folder).map_err(ExportError::io(folder))?;
    let path = |extension: &str| folder.join(format!("bench.{extension}"));
    let json = serde_json::to_string_pretty(o).map_err(|e| ExportError::Format { path: path("json"), why: e.to_string() })?;
    let csv = csv(o).map_err(|e| ExportError::Format { path: path("csv"), why: e.to_string() })?;
    for (extension, text) in [("md", markdown(o).into_bytes()), ("csv", csv), ("json", json.into_bytes())] {
        write_bytes(&path(extension), &text)?;
    }
    let mut forms: Vec<_> = o.rows.iter().map(|r| r.variant.form).collect();
    forms.sort();
    forms.dedup();
    let panels: Vec<BarPanel> = groups(&o.rows)
        .into_iter()
        .map(|(batch, threads, rows)| BarPanel {
            title: format!("{}: batch {batch}, threads {threads}", o.title),
            axis: "median milliseconds a batch".into(),
            legend: forms.iter().map(|f| f.name().to_string()).collect(),
            bars: rows
                .into_iter()
                .map(|r| Bar {
                    label: format!("{}, {} {}", r.variant.model, r.variant.runtime.name, r.variant.form.name()),
                    value: r.stats.median_ms,
                    text: format!("{:.2}", r.stats.median_ms),
                    colour: forms.iter().position(|f| *f == r.variant.form).unwrap_or(0),
                })
                .collect(),
        })
        .collect();
    let mut files: Vec<PathBuf> = ["md", "csv", "json"].map(path).to_vec();
    if !o.rows.is_empty() {
        bars(&path("png"), &panels)?;
        files.push(path("png"));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Form, Variant};
    use super::super::stats::Stats;
    use super::*;

    fn outcome() -> Outcome {
        let row = |model: &str, median: f64, batch| Row {
            variant: Variant { model: model.into(), form: Form::Fused, runtime: crate::runtime::REFERENCE, batch, threads: 1 },
            stats: Stats { runs: 5, median_ms: median, mean_ms: median, p95_ms: median, min_ms: median },
            images_per_second: batch as f64 / median * 1e3,
            speed_up: Some(4.0 / median),
        };
        Outcome {
            title: "t".into(),
            size: [32, 64],
            machine: "m".into(),
            rows: vec![row("a, b", 4.0, 1), row("c", 2.0, 1), row("c", 8.0, 4)],
            notes: vec!["left out".into()],
        }
    }

    #[test]
    fn a_table_a_batch_and_a_line_a_row() {
        let o = outcome();
        let text = markdown(&o);
        assert!(text.contains("| c | fused | onnxruntime | 2.000 | 2.000 | 2.000 | 500.0 | 2.00x |"), "{text}");
        assert_eq!(text.matches("## batch").count(), 2);
        assert!(text.ends_with("- left out\n"));
        let csv = String::from_utf8(csv(&o).unwrap()).unwrap();
        assert_eq!(csv.lines().nth(1).unwrap(), "\"a, b\",fused,onnxruntime,1,1,5,4.0000,4.0000,4.0000,4.0000,250.00,1.0000");
        assert_eq!(csv.lines().count(), 4);
    }

    #[test]
    fn all_files_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(&outcome(), &dir.path().join("new")).unwrap();
        assert_eq!(files.len(), 4);
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&files[2]).unwrap()).unwrap();
        assert_eq!(json["rows"][1]["median_ms"], 2.0);
        let picture = repghost_coco::read_image(&files[3], &Default::default()).unwrap();
        assert!(picture.pixels().filter(|p| p.0 == [0, 114, 178]).count() > 1000);
    }
}
