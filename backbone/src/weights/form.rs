//! The form of weights, by their names.

use super::StateDict;

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

/// The form of a file's weights. [`StateDict::under`] selects a part of a detector's.
pub fn detect_form(state: &StateDict) -> Form {
    form_of(state.names())
}

pub(super) fn form_of<'a>(names: impl Iterator<Item = &'a str>) -> Form {
    let (mut any, mut norms, mut merged) = (false, false, false);
    for name in names {
        any = true;
        norms |= name.ends_with("running_mean");
        // RepGhostNet; RepVGG and MobileOne; GhostNetV3, whose primary convolution has no bias of its own.
        merged |=
            name.ends_with("cheap_operation.weight") || name.contains("reparam_conv.") || name.ends_with("primary_conv.0.bias");
    }
    match (norms, merged) {
        (false, _) if any => Form::Folded,
        (true, true) => Form::Deploy,
        _ => Form::Train,
    }
}
