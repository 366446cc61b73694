//! Exported detectors: images in, detections out; what the file does not compute is done on the host.
//!
//! | module | file | left to the host |
//! |---|---|---|
//! | [`raw`] | a detector's networks | what lies between and after them: proposals, RoIAlign, suppression |
//! | [`detector`] | detector | nothing |
//! | [`exported`], [`input`] | | which of them a file is; the sizes of its input |

pub mod detector;
pub mod exported;
pub mod input;
pub mod raw;

use repghost_heads::HostDetections;

use crate::error::ExportError;

/// Images in one buffer, as a file takes them.
#[derive(Clone, Copy, Debug)]
pub struct Pictures<'a> {
    /// Normalised pixels.
    pub pixels: &'a [f32],
    /// N, 3, H, W.
    pub shape: [i64; 4],
    /// True height and width of each image within the padding.
    pub sizes: &'a [[i64; 2]],
}

/// Something that finds objects.
pub trait Engine: Send {
    /// Detections of each image, best first, in pixels of the (resized) image.
    ///
    /// # Errors
    /// The runtime's own.
    fn detect(&mut self, pictures: Pictures) -> Result<Vec<HostDetections>, ExportError>;
}

/// An output that the file should have.
fn output<'a, T>(outputs: &'a [(String, T)], name: &str) -> Result<&'a T, ExportError> {
    let found = outputs.iter().find(|(n, _)| n == name).map(|(_, v)| v);
    found.ok_or_else(|| ExportError::Runtime { runtime: "exported file", message: format!("output '{name}' is missing") })
}
