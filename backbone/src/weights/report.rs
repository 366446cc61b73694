//! How weights fit a model, name by name.

use std::fmt;

use tch::Kind;

/// Names of a list that are shown before it is cut.
const SHOWN: usize = 12;

/// How well weights must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Every tensor on either side has its counterpart.
    Exact,
    /// Every tensor of the model is in the file; the file may hold more (a classifier that a detector does not need).
    Covering,
    /// What fits is loaded, the rest is listed (fine-tuning with another number of classes).
    Partial,
}

/// A tensor whose shapes (or kinds: integer against float) differ. It was not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Name in the file.
    pub name: String,
    /// The model's shape (and kind, where kinds differ).
    pub expected: String,
    /// The file's.
    pub found: String,
}

/// A tensor that was converted from the file's kind to the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Name in the file.
    pub name: String,
    /// The file's kind.
    pub from: Kind,
    /// The model's kind.
    pub to: Kind,
}

/// Tensors by what a load did with them. All names are the file's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Copied.
    pub loaded: Vec<String>,
    /// In the model, not in the file.
    pub missing: Vec<String>,
    /// In the file (below the prefix), not in the model.
    pub unexpected: Vec<String>,
    /// In both, of different shapes.
    pub shape_mismatch: Vec<Mismatch>,
    /// Copied with a change of kind; these are among `loaded` too.
    pub converted: Vec<Converted>,
    /// Optional names that only one side has.
    pub ignored: Vec<String>,
    /// In the file, of nodes that the model was built with and dropped since (a detector's file with its backbone's classifier).
    pub dropped: Vec<String>,
    /// A prefix that the file's names have and the model's have not, where that is why names are missing.
    pub prefix: Option<String>,
}

impl LoadReport {
    /// Whether the fit is as strict as asked.
    pub fn fits(&self, strictness: Strictness) -> bool {
        let covered = self.missing.is_empty() && self.shape_mismatch.is_empty();
        match strictness {
            Strictness::Exact => covered && self.unexpected.is_empty(),
            Strictness::Covering => covered,
            Strictness::Partial => true,
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "loaded {} tensors", self.loaded.len())?;
        if let Some(prefix) = &self.prefix {
            write!(f, "; the file's names carry the prefix '{prefix}'")?;
        }
        list(f, "missing from the file", &self.missing, String::clone)?;
        list(f, "unexpected in the file", &self.unexpected, String::clone)?;
        let mismatch = |m: &Mismatch| format!("{} (model {}, file {})", m.name, m.expected, m.found);
        list(f, "of another shape", &self.shape_mismatch, mismatch)?;
        list(f, "not needed, as the model has no such part", &self.dropped, String::clone)?;
        list(f, "converted", &self.converted, |c| format!("{} ({:?} to {:?})", c.name, c.from, c.to))
    }
}

fn list<T>(f: &mut fmt::Formatter, what: &str, items: &[T], text: impl Fn(&T) -> String) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    write!(f, "\n  {what} ({}): ", items.len())?;
    let shown: Vec<String> = items.iter().take(SHOWN).map(text).collect();
    f.write_str(&shown.join(", "))?;
    match items.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => write!(f, " and {more} more"),
        _ => Ok(()),
    }
}
