//! TensorBoard event files: a consumer of the records, nothing more.
//!
//! The writer crate panics when its own thread cannot write, also while it is dropped. A full disk must not take the run with it, so
//! every call is guarded here: after the first failure a warning is given and events are no longer written.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;

use tensorboard_rs::summary_writer::SummaryWriter;

use super::{Record, Sink};
use crate::error::TrainError;

/// Writes scalars and pictures. One writer a folder: its file name has a resolution of seconds.
pub struct TensorBoard {
    writer: Option<SummaryWriter>,
}

impl TensorBoard {
    /// Starts an event file in `folder`. Event files of an interrupted run that are there already are replaced, and `before` (the
    /// records that stay) is written again, so that curves do not overlap.
    ///
    /// # Errors
    /// The disk's.
    pub fn start(folder: &Path, before: &[Record]) -> Result<Self, TrainError> {
        std::fs::create_dir_all(folder).map_err(TrainError::io(folder))?;
        for entry in std::fs::read_dir(folder).map_err(TrainError::io(folder))? {
            let entry = entry.map_err(TrainError::io(folder))?;
            if entry.file_name().to_string_lossy().starts_with("events.out.tfevents.") {
                std::fs::remove_file(entry.path()).map_err(TrainError::io(entry.path()))?;
            }
        }
        // The crate creates its file in a thread, where a failure is a panic: see whether the folder can be written.
        let probe = folder.join(".probe");
        std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(&probe)).map_err(TrainError::io(folder))?;
        let mut board = Self { writer: catch_unwind(|| SummaryWriter::new(folder)).ok() };
        for record in before {
            board.write(record)?;
        }
        Ok(board)
    }

    /// Adds a picture of interleaved RGB bytes, row by row.
    pub fn picture(&mut self, tag: &str, rgb: &[u8], width: usize, height: usize, step: u64) {
        if rgb.len() == 3 * width * height {
            // The crate's "channels, height, width" is in truth channels, width, height of interleaved rows.
            self.guarded(|w| w.add_image(tag, rgb, &[3, width, height], step as usize));
        }
    }

    /// Adds the sample pictures of a step, where there are some.
    pub fn sheet(&mut self, predictions: &Path, step: u64) {
        let path = super::folder::sheet(predictions, step);
        if let Ok(picture) = repghost_coco::read_image(&path, &Default::default()) {
            let (width, height) = picture.dimensions();
            self.picture("val/predictions", picture.as_raw(), width as usize, height as usize, step);
        }
    }

    fn scalar(&mut self, tag: &str, value: f64, step: u64) {
        self.guarded(|w| w.add_scalar(tag, value as f32, step as usize));
    }

    fn guarded(&mut self, f: impl FnOnce(&mut SummaryWriter)) {
        let Some(mut writer) = self.writer.take() else { return };
        match catch_unwind(AssertUnwindSafe(|| f(&mut writer))) {
            Ok(()) => self.writer = Some(writer),
            Err(_) => {
                // Its destructor would panic too.
                std::mem::forget(writer);
                tracing::warn!("TensorBoard events cannot be written any more (disk full?); metrics.jsonl goes on");
            }
        }
    }
}

impl Sink for TensorBoard {
    fn write(&mut self, record: &Record) -> Result<(), TrainError> {
        match record {
            Record::Step(r) => {
                self.scalar("train/loss", r.loss, r.step);
                for (name, value) in &r.losses {
                    self.scalar(&format!("train/loss_{name}"), *value, r.step);
                }
                self.scalar("train/lr", r.lr, r.step);
                self.scalar("speed/images_per_second", r.images_per_second, r.step);
                self.scalar("speed/data_seconds", r.data_seconds, r.step);
                for (tag, value) in
                    [("train/grad_norm", r.grad_norm), ("speed/memory_mib", r.memory_mib), ("speed/card_mib", r.card_mib)]
                {
                    if let Some(value) = value {
                        self.scalar(tag, value, r.step);
                    }
                }
            }
            Record::Epoch(r) => self.scalar("train/epoch_loss", r.loss, r.step),
            Record::Eval(r) => {
                for (name, value) in &r.metrics {
                    self.scalar(&format!("val/{name}"), *value, r.step);
                }
            }
        }
        self.guarded(SummaryWriter::flush);
        Ok(())
    }
}

impl Drop for TensorBoard {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            let _ = catch_unwind(AssertUnwindSafe(move || drop(writer)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::StepRecord;
    use super::*;

    #[test]
    fn resuming_replaces_the_events() {
        let dir = tempfile::tempdir().unwrap();
        let record = |step| Record::Step(StepRecord { step, loss: 1.5, ..Default::default() });
        let events = || -> Vec<Vec<u8>> {
            std::fs::read_dir(dir.path()).unwrap().map(|e| std::fs::read(e.unwrap().path()).unwrap()).collect()
        };
        let mut board = TensorBoard::start(dir.path(), &[]).unwrap();
        board.write(&record(1)).unwrap();
        board.write(&record(2)).unwrap();
        board.picture("sample", &[7; 3 * 4 * 2], 4, 2, 2);
        drop(board);
        let first = events();
        let count = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).filter(|w| *w == text).count();
        assert_eq!(first.len(), 1);
        assert_eq!(count(&first[0], b"train/lr"), 2);
        assert_eq!(count(&first[0], b"sample"), 1);
        drop(TensorBoard::start(dir.path(), &[record(1)]).unwrap());
        let second = events();
        assert_eq!(second.len(), 1);
        assert_eq!(count(&second[0], b"train/lr"), 1);
    }
}
