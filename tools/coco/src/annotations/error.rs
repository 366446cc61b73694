//! The ways an annotation or detections file can be unusable, each as one line for the user.

use std::path::{Path, PathBuf};

/// Why an annotation file, a detections file or a class choice was refused.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system reported.
        source: std::io::Error,
    },
    /// The file cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system reported.
        source: std::io::Error,
    },
    /// The file is no JSON, or a list holds something that is no record.
    #[error("{}: is not a COCO annotation file: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser met, with line and column.
        reason: String,
    },
    /// The file, or folder, is not of the format that it looks like.
    #[error("{}: cannot be read as {format}: {reason}", path.display())]
    Format {
        /// The file or folder.
        path: PathBuf,
        /// Name of the format.
        format: &'static str,
        /// What was met, with the line where there is one.
        reason: String,
    },
    /// The file is no detections file.
    #[error("{}: is not a COCO detections file: {reason}", path.display())]
    Detections {
        /// The file.
        path: PathBuf,
        /// What the parser met, with line and column.
        reason: String,
    },
    /// Records that would poison training or evaluation.
    #[error("{}: {count} bad {what} ({first}); {advice}", path.display())]
    Records {
        /// The file.
        path: PathBuf,
        /// `images`, `categories`, `annotations` or `detections`.
        what: &'static str,
        /// Number of bad records.
        count: usize,
        /// The first few, with their ids.
        first: String,
        /// What to do.
        advice: String,
    },
    /// A wanted class is not in the file.
    #[error("{}: class {wanted:?} is not among its categories [{have}]{hint}", path.display())]
    UnknownClass {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        wanted: String,
        /// The names in the file.
        have: String,
        /// The nearest name, as a question, or nothing.
        hint: String,
    },
    /// The categories cannot serve as labels.
    #[error("{}: {reason}", path.display())]
    Classes {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Nothing is left to train on or to evaluate.
    #[error("{}: {left} of {images} images left; {reason}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// Images left.
        left: usize,
        /// Images in the file.
        images: usize,
        /// What filtered, the categories in the file and the wanted ones.
        reason: String,
    },
}

impl AnnotationError {
    /// The file the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::Syntax { path, .. }
            | Self::Format { path, .. }
            | Self::Detections { path, .. }
            | Self::Records { path, .. }
            | Self::UnknownClass { path, .. }
            | Self::Classes { path, .. }
            | Self::Empty { path, .. } => path,
        }
    }
}
