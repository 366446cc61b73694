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

use crate::error::ExportError;

/// An output that the file should have.
fn output<'a, T>(outputs: &'a [(String, T)], name: &str) -> Result<&'a T, ExportError> {
    let found = outputs.iter().find(|(n, _)| n == name).map(|(_, v)| v);
    found.ok_or_else(|| ExportError::Runtime { runtime: "exported file", message: format!("output '{name}' is missing") })
}
