//! A hint where somebody writes an experiment's key as a flag: `--epochs 3` for `train.epochs=3`.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use repghost_train::config::explain;

/// Most keys that a hint names.
const MOST: usize = 3;

/// The line to print after clap's message, where the unknown flag is the last part of a key.
pub fn of(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    let (name, value) = flag.split_once('=').unwrap_or((flag, "VALUE"));
    let keys = explain::keys_named(name.trim_start_matches('-'));
    let keys: Vec<String> = keys.iter().take(MOST).map(|key| format!("{key}={value}")).collect();
    (!keys.is_empty()).then(|| format!("keys of the experiment are written without dashes: {}", keys.join(" or ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(flag: &str) -> Option<String> {
        let command = clap::Command::new("x").arg(clap::Arg::new("file"));
        of(&command.try_get_matches_from(["x", "f", flag]).unwrap_err())
    }

    #[test]
    fn keys_are_recognised_and_other_flags_not() {
        let text = "keys of the experiment are written without dashes: train.epochs=";
        for flag in ["--epochs=3", "--epochs"] {
            assert!(hint(flag).is_some_and(|hint| hint.starts_with(text)), "{:?}", hint(flag));
        }
        let batch = hint("--batch-size").unwrap();
        assert!(batch.contains("train.batch_size=VALUE") && batch.contains("eval.batch_size=VALUE"), "{batch}");
        assert_eq!(hint("--nothing-like-it"), None);
    }
}
