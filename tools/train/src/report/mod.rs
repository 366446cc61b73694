//! A page that shows runs and sweeps: one HTML file that needs nothing else, to be sent around and opened anywhere.
//!
//! | module | what is in it |
//! |---|---|
//! | [`source`] | folders to runs and sweeps |
//! | [`series`] | records to curves of bearable length |
//! | [`matching`] | which detections hit an object, and the score threshold that serves best |
//! | [`view`], [`picture`] | ground truth and detections of chosen images, for the page's script |
//! | [`html`] | the page: tables as HTML (they are there without the script too), the rest drawn by `assets/*.js` |
//!
//! Everything is read from the folders that training left, so a report can be made of a run on any machine that has them; where the
//! validation images are not there, the page notes it and shows the rest. A content security policy in the page forbids it any request.

pub mod html;
pub mod matching;
pub mod picture;
pub mod series;
pub mod source;
pub mod view;

use std::path::{Path, PathBuf};

use crate::error::TrainError;
use crate::run::folder::write_text;

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct Request {
    /// Run folders and sweep folders.
    pub folders: Vec<PathBuf>,
    /// Images shown with their detections: half of them the worst, half evenly spread. 0 shows none.
    pub images: usize,
}

/// A page, and notes about it.
#[derive(Clone, Debug)]
pub struct Page {
    /// The HTML text.
    pub html: String,
    /// What is missing from it, and why.
    pub notes: Vec<String>,
}

/// Reads the folders and makes the page. `progress` gets a line about each step.
///
/// # Errors
/// Folders that hold neither a run nor a sweep; experiments that cannot be read. Data that is not there is a note, not an error.
pub fn make(request: &Request, progress: &mut dyn FnMut(&str)) -> Result<Page, TrainError> {
    let sources = source::read(&request.folders)?;
    let mut notes = Vec::new();
    let views = view::build(&sources.runs, request.images, progress, &mut notes);
    let html = html::page(&sources, &views, &notes)?;
    Ok(Page { html, notes })
}

/// Writes the page, whole or not at all.
///
/// # Errors
/// The disk's.
pub fn write(page: &Page, path: &Path) -> Result<(), TrainError> {
    write_text(path, &page.html)
}
