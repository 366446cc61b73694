//! Copies weights into a module tree, and lists everything that did not match one to one.
//!
//! The silent failures of other loaders are what this file is against: renamed keys, a `[1]` broadcast into a `[C]`, a model that
//! turns half precision because its file was, a head that stayed random because its names were in no file.

use std::collections::HashMap;

use tch::{Kind, Tensor};

use super::form::{form_of, Form};
use super::report::{Converted, LoadReport, Mismatch, Strictness};
use super::{StateDict, WeightsError};
use crate::module::{Collector, Entry, FuseLevel, Tree};

/// Names that either side may lack: counters that only training with `momentum=None` reads, and what profilers leave behind.
pub(super) const OPTIONAL: [&str; 3] = ["num_batches_tracked", "total_ops", "total_params"];

/// Copies the tensors of `state` whose names are `prefix` and a name of `tree`. Names outside the prefix are not looked at. The
/// prefix is put before each name as it is (`"backbone.body."`).
///
/// # Errors
/// [`WeightsError::Fit`] with the whole listing where the fit is worse than `strictness`, [`WeightsError::NotFinite`] for values that are NaN
/// or infinite; the model is as it was then.
pub fn load(tree: &dyn Tree, prefix: &str, state: &StateDict, strictness: Strictness) -> Result<LoadReport, WeightsError> {
    let (report, copies) = compare(tree.survey(), prefix, state);
    if !report.fits(strictness) {
        return Err(WeightsError::Fit(Box::new(report)));
    }
    check_finite(&report.loaded, &copies)?;
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
        follow(tree, prefix, state)?;
    }
    load(tree, prefix, state, strictness)
}

/// Folds `tree` to the form of the weights below `prefix`, so that their names fit.
fn follow(tree: &mut dyn Tree, prefix: &str, state: &StateDict) -> Result<Form, WeightsError> {
    let file = form_of(state.names().filter_map(|n| n.strip_prefix(prefix)));
    let entries = tree.named_tensors();
    let model = form_of(entries.iter().map(|e| e.name.as_str()));
    if file < model {
        return Err(WeightsError::FormMismatch { file, model });
    }
    if file > model {
        tree.fuse(if file == Form::Deploy { FuseLevel::Branches } else { FuseLevel::All });
    }
    Ok(file)
}

/// Refuses values that are NaN or infinite: every output of such a network is NaN.
fn check_finite(names: &[String], copies: &[(Tensor, &Tensor)]) -> Result<(), WeightsError> {
    let bad = |t: &Tensor| match t.is_floating_point() {
        true => t.numel() as i64 - tch::no_grad(|| t.isfinite().sum(Kind::Int64)).int64_value(&[]),
        false => 0,
    };
    let mut found = names.iter().zip(copies).map(|(name, (_, source))| (name, *source, bad(source))).filter(|(.., bad)| *bad > 0);
    match found.next() {
        None => Ok(()),
        Some((name, tensor, values)) => {
            let (name, elements) = (name.clone(), tensor.numel() as i64);
            Err(WeightsError::NotFinite { name, values, elements, others: found.count() })
        }
    }
}

fn compare<'a>(model: Collector, prefix: &str, state: &'a StateDict) -> (LoadReport, Vec<(Tensor, &'a Tensor)>) {
    let Collector { entries, dropped, .. } = model;
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
            let rest = &name[prefix.len()..];
            let list = match (is_optional(name), dropped.iter().any(|d| rest.starts_with(d.as_str()))) {
                (true, _) => &mut report.ignored,
                (_, true) => &mut report.dropped,
                _ => &mut report.unexpected,
            };
            list.push(name.to_string());
        }
    }
    report.prefix = report.missing.first().and_then(|missing| {
        let end = format!(".{}", &missing[prefix.len()..]);
        state.names().find_map(|name| Some(format!("{}.", name.strip_suffix(&end)?))).filter(|found| found != prefix)
    });
    (report, copies)
}

fn is_optional(name: &str) -> bool {
    OPTIONAL.contains(&name.rsplit('.').next().unwrap_or(name))
}
