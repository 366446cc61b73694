//! Which form weights are in, told by their names.

use super::{StateDict, WeightsError};
use crate::module::{FuseLevel, Tree};

/// A form of a re-parameterisable network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As trained: all branches, all batch norms.
    Train,
    /// Branches folded (`cheap_operation.weight`), other batch norms kept: what the authors' `convert.py` writes.
    Deploy,
    /// No batch norm left.
    Folded,
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Form::Train => "training",
            Form::Deploy => "deploy",
            Form::Folded => "folded",
        })
    }
}

/// The form of a file's weights. Use [`StateDict::under`] to ask about a part of a detector's.
pub fn detect_form(state: &StateDict) -> Form {
    form_of(state.names())
}

fn form_of<'a>(names: impl Iterator<Item = &'a str>) -> Form {
    let (mut any, mut norms, mut merged) = (false, false, false);
    for name in names {
        any = true;
        norms |= name.ends_with("running_mean");
        merged |= name.ends_with("cheap_operation.weight") || name.contains("reparam_conv.");
    }
    match (norms, merged) {
        (false, _) if any => Form::Folded,
        (true, true) => Form::Deploy,
        _ => Form::Train,
    }
}

/// Folds `tree` to the form of the weights below `prefix`, so that their names fit.
pub(super) fn follow(tree: &mut dyn Tree, prefix: &str, state: &StateDict) -> Result<Form, WeightsError> {
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
