//! Detections of a video as JSON lines: one per frame, written as it comes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use repghost_coco::{Detection, Rle};
use serde::Serialize;

use crate::error::TrainError;
use crate::model::Class;

/// A frame.
#[derive(Serialize)]
struct Line<'a> {
    /// Its number, from 0.
    frame: usize,
    /// Seconds from the first frame.
    time: f64,
    /// Best first.
    objects: Vec<Object<'a>>,
}

#[derive(Serialize)]
struct Object<'a> {
    category_id: i64,
    class: &'a str,
    score: f64,
    /// x, y, width, height in pixels of the frame.
    bbox: [f64; 4],
    #[serde(skip_serializing_if = "Option::is_none")]
    segmentation: Option<&'a Rle>,
}

impl<'a> Object<'a> {
    fn of(d: &'a Detection, classes: &'a [Class]) -> Self {
        Self {
            category_id: d.category_id,
            class: classes.iter().find(|c| c.id == d.category_id).map_or("", |c| c.name.as_str()),
            score: d.score,
            bbox: d.bbox.unwrap_or_default(),
            segmentation: d.segmentation.as_ref(),
        }
    }
}

/// The file.
pub struct Lines<'a> {
    path: PathBuf,
    file: File,
    rate: [u32; 2],
    classes: &'a [Class],
}

impl<'a> Lines<'a> {
    /// An empty file, for frames at so many per second (a fraction).
    ///
    /// # Errors
    /// The disk's.
    pub fn create(path: &Path, rate: [u32; 2], classes: &'a [Class]) -> Result<Self, TrainError> {
        let file = File::create(path).map_err(TrainError::io(path))?;
        Ok(Self { path: path.into(), file, rate, classes })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&mut self, frame: usize, detections: &[Detection]) -> Result<(), TrainError> {
        let time = frame as f64 * f64::from(self.rate[1]) / f64::from(self.rate[0]);
        let line = Line { frame, time, objects: detections.iter().map(|d| Object::of(d, self.classes)).collect() };
        let mut text =
            serde_json::to_string(&line).map_err(|source| TrainError::Json { what: "a frame's detections", source })?;
        text.push('\n');
        // One call per line: whoever follows the file sees whole lines.
        self.file.write_all(text.as_bytes()).map_err(TrainError::io(&self.path))
    }
}
