//! `metrics.jsonl`: one JSON object a line, appended as it happens.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::folder::write_text;
use super::{Record, Sink};
use crate::error::TrainError;

/// Bytes of a log that is read at most: a record has some hundred bytes.
const MAX_BYTES: u64 = 4 << 30;

/// Appends records to a file.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the file for appending, creating it.
    ///
    /// # Errors
    /// The disk's.
    pub fn append(path: &Path) -> Result<Self, TrainError> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(TrainError::io(path))?;
        Ok(Self { path: path.into(), file })
    }
}

impl Sink for MetricsLog {
    fn write(&mut self, record: &Record) -> Result<(), TrainError> {
        // One write a line: a crash cuts the last line at most.
        let mut line = serde_json::to_string(record).map_err(|e| TrainError::io(&self.path)(e.into()))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(TrainError::io(&self.path))
    }
}

/// All records of a file. Lines that are none (one cut by a crash, or of a later version) are left out. A file that is not there has
/// none.
///
/// # Errors
/// The disk's.
pub fn read(path: &Path) -> Result<Vec<Record>, TrainError> {
    let bytes = match repghost_files::read_bounded(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(TrainError::io(path)(e)),
    };
    Ok(bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Drops the records after `step`, which a resumed run will write again, and returns those that stay.
///
/// # Errors
/// The disk's.
pub fn rewind(path: &Path, step: u64) -> Result<Vec<Record>, TrainError> {
    let records: Vec<Record> = read(path)?.into_iter().filter(|r| r.step() <= step).collect();
    let lines: Result<Vec<String>, _> = records.iter().map(serde_json::to_string).collect();
    let mut text = lines.map_err(|e| TrainError::io(path)(e.into()))?.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    write_text(path, &text)?;
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::super::{EvalRecord, StepRecord};
    use super::*;

    #[test]
    fn records_survive_a_cut_line_and_a_rewind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        assert!(read(&path).unwrap().is_empty());
        let step = |step| Record::Step(StepRecord { step, loss: 0.1 + step as f64, ..Default::default() });
        let eval = Record::Eval(EvalRecord { step: 2, metrics: vec![("bbox/AP".into(), 1.0 / 3.0)], ..Default::default() });
        let mut log = MetricsLog::append(&path).unwrap();
        for record in [step(1), step(2), eval.clone(), step(3)] {
            log.write(&record).unwrap();
        }
        log.file.write_all(b"{\"kind\":\"step\",\"st").unwrap();
        assert_eq!(read(&path).unwrap(), [step(1), step(2), eval.clone(), step(3)]);
        assert_eq!(rewind(&path, 2).unwrap(), [step(1), step(2), eval.clone()]);
        MetricsLog::append(&path).unwrap().write(&step(3)).unwrap();
        assert_eq!(read(&path).unwrap(), [step(1), step(2), eval, step(3)]);
    }
}
