//! Everything that can be wrong with data, one variant each, one line for the user each.

use std::path::PathBuf;

use thiserror::Error;

/// Why data could not be had.
#[derive(Debug, Error)]
pub enum DataError {
    /// A file or folder could not be read at all.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's message.
        source: std::io::Error,
    },
    /// An image that the annotation file names is not there.
    #[error("{} is missing{hint}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is there in its place, or nothing.
        hint: String,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's message.
        source: std::io::Error,
    },
    /// The bytes are no image, or a damaged one.
    #[error("{} is not a readable image: {reason}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder met.
        reason: String,
    },
    /// The header promises more pixels than may be allocated.
    #[error("{} claims {width}x{height} pixels, more than the limit of {limit} (a decompression bomb?)", path.display())]
    TooManyPixels {
        /// The file.
        path: PathBuf,
        /// Width in the header.
        width: usize,
        /// Height in the header.
        height: usize,
        /// Most pixels allowed.
        limit: usize,
    },
    /// The annotation file has another size, so that its boxes cannot be trusted.
    #[error("{} is {}x{} pixels, its annotation file has {}x{}{hint}", path.display(), found[0], found[1], expected[0], expected[1])]
    SizeMismatch {
        /// The file.
        path: PathBuf,
        /// Width and height of the decoded image.
        found: [u32; 2],
        /// Width and height in the annotation file.
        expected: [u32; 2],
        /// What to do, or nothing.
        hint: &'static str,
    },
    /// An index beyond the last sample.
    #[error("there is no sample {index} among {len}")]
    NoSuchSample {
        /// The index.
        index: usize,
        /// Number of samples.
        len: usize,
    },
    /// A file name that would lead out of the image folder.
    #[error("file name {name:?} leaves the image folder {}: names must be relative and without '..'", root.display())]
    OutsideRoot {
        /// The image folder.
        root: PathBuf,
        /// The name in the annotation file.
        name: String,
    },
    /// A folder that is not laid out as expected.
    #[error("{} {reason}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What was found and what was expected.
        reason: String,
    },
    /// Settings out of range.
    #[error(transparent)]
    Settings(#[from] repghost_config::Problems),
    /// A setting that does not fit the data.
    #[error("{key}: {reason}")]
    Config {
        /// Which key, dotted.
        key: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A loader thread ended without delivering.
    #[error("loader worker {worker} stopped before batch {batch}: this is a bug, please report it with the messages above")]
    WorkerLost {
        /// Which thread.
        worker: usize,
        /// The batch it owed.
        batch: usize,
    },
}

impl DataError {
    /// True for errors of one image, that `on_unreadable_image: skip` may pass over.
    pub fn is_unreadable_image(&self) -> bool {
        matches!(
            self,
            Self::Read { .. }
                | Self::Missing { .. }
                | Self::Image { .. }
                | Self::TooManyPixels { .. }
                | Self::SizeMismatch { .. }
        )
    }

    /// A configuration error.
    pub fn config(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { key: key.into(), reason: reason.into() }
    }
}
