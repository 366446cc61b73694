//! Copies weights into a module tree, telling everything that did not match one to one.
//!
//! The silent failures of other loaders are what this file is against: renamed keys, a `[1]` broadcast into a `[C]`, a model that
//! turns half precision because its file was, a head that stayed random because its names were in no file.

use std::collections::HashMap;
use std::fmt;

use tch::{Kind, Tensor};

use super::{form, StateDict, WeightsError};
use crate::module::{Entry, Tree};

/// Names that either side may lack: counters that only training with `momentum=None` reads, and what profilers leave behind.
const OPTIONAL: [&str; 3] = ["num_batches_tracked", "total_ops", "total_params"];
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

/// What came of a load. All names are the file's.
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

/// Copies the tensors of `state` whose names are `prefix` and a name of `tree`. Names outside the prefix are not looked at. The
/// prefix is put before each name as it is (`"backbone.body."`).
///
/// # Errors
/// [`WeightsError::Fit`] with the whole listing where the fit is worse than `strictness`; the model is as it was then.
pub fn load(tree: &dyn Tree, prefix: &str, state: &StateDict, strictness: Strictness) -> Result<LoadReport, WeightsError> {
    let (report, copies) = compare(tree.named_tensors(), prefix, state);
    if !report.fits(strictness) {
        return Err(WeightsError::Fit(Box::new(report)));
    }
    tch::no_grad(|| {
        for (mut target, source) in copies {
            target.copy_(source);
        }
    });
    Ok(report)
}

/// [`load`] for weights in any form: `tree` is folded to the file's form first (training form stays as it is).
///
/// # Errors
/// [`WeightsError::FormMismatch`] where the tree is folded further than the file, and those of [`load`].
pub fn load_any_form(
    tree: &mut dyn Tree,
    prefix: &str,
    state: &StateDict,
    strictness: Strictness,
) -> Result<LoadReport, WeightsError> {
    if state.names().any(|n| n.starts_with(prefix)) {
        form::follow(tree, prefix, state)?;
    }
    load(tree, prefix, state, strictness)
}

fn compare<'a>(entries: Vec<Entry>, prefix: &str, state: &'a StateDict) -> (LoadReport, Vec<(Tensor, &'a Tensor)>) {
    let mut file: HashMap<&str, &Tensor> = state.tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let mut report = LoadReport::default();
    let mut copies = vec![];
    for Entry { name, tensor, .. } in entries {
        let name = format!("{prefix}{name}");
        let Some(source) = file.remove(name.as_str()) else {
            if is_optional(&name) {
                report.ignored.push(name);
            } else {
                report.missing.push(name);
            }
            continue;
        };
        let (to, from) = (tensor.kind(), source.kind());
        if tensor.size() != source.size() {
            let [expected, found] = [&tensor, source].map(|t| format!("{:?}", t.size()));
            report.shape_mismatch.push(Mismatch { name, expected, found });
            continue;
        }
        if tensor.is_floating_point() != source.is_floating_point() {
            let [expected, found] = [&tensor, source].map(|t| format!("{:?} {:?}", t.kind(), t.size()));
            report.shape_mismatch.push(Mismatch { name, expected, found });
            continue;
        }
        if to != from {
            report.converted.push(Converted { name: name.clone(), from, to });
        }
        copies.push((tensor, source));
        report.loaded.push(name);
    }
    for name in state.names().filter(|n| n.starts_with(prefix)) {
        if file.contains_key(name) {
            let list = if is_optional(name) { &mut report.ignored } else { &mut report.unexpected };
            list.push(name.to_string());
        }
    }
    (report, copies)
}

fn is_optional(name: &str) -> bool {
    OPTIONAL.contains(&name.rsplit('.').next().unwrap_or(name))
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "loaded {} tensors", self.loaded.len())?;
        list(f, "missing from the file", &self.missing, String::clone)?;
        list(f, "unexpected in the file", &self.unexpected, String::clone)?;
        let mismatch = |m: &Mismatch| format!("{} (model {}, file {})", m.name, m.expected, m.found);
        list(f, "of another shape", &self.shape_mismatch, mismatch)?;
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
