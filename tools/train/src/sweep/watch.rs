//! What can be seen of a trial from outside its process.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::run::Record;

/// Bytes at the end of a file that are looked at.
const TAIL: u64 = 16 * 1024;

/// Epochs done, with fraction, and optimizer steps, by the last record of a `metrics.jsonl`.
pub fn last_position(path: &Path) -> Option<(f64, u64)> {
    let text = tail(path)?;
    text.lines().rev().find_map(|line| serde_json::from_str::<Record>(line).ok()).map(|record| match record {
        Record::Step(r) => (r.epoch, r.step),
        Record::Epoch(r) => (r.epoch as f64, r.step),
        Record::Eval(r) => (r.epoch as f64, r.step),
    })
}

/// The last line of a log that reports an error, without the word.
pub fn last_error(path: &Path) -> Option<String> {
    tail(path)?.lines().rev().find_map(|line| line.strip_prefix("error: ")).map(str::to_string)
}

fn tail(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// True where the process lives and its command line names the run folder (Linux only; elsewhere nothing is known).
pub fn trains(pid: u32, run: &Path) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).split('\0').any(|argument| Path::new(argument) == run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_files_is_read_also_while_they_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(last_position(&path), None);
        let filler = "x".repeat(40_000);
        let record = |epoch: f64| {
            format!("{{\"kind\":\"step\",\"step\":1,\"epoch\":{epoch},\"lr\":0,\"loss\":1,\"losses\":[],\"grad_norm\":null,\"images_per_second\":1,\"step_seconds\":1,\"data_seconds\":0,\"memory_mib\":null}}")
        };
        std::fs::write(&path, format!("{filler}\n{}\n{}\n{{\"kind\":\"st", record(1.5), record(2.25))).unwrap();
        assert_eq!(last_position(&path), Some((2.25, 1)));
        std::fs::write(&path, "starting\nerror: first\nstarting again\nerror: second\nmore\n").unwrap();
        assert_eq!(last_error(&path).as_deref(), Some("second"));
    }

    #[test]
    fn only_processes_of_that_run_count() {
        assert!(!trains(std::process::id(), Path::new("/no/such/run")));
        assert!(!trains(u32::MAX, Path::new("x")));
    }
}
