//! Which combinations of axis values are run.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A value name, or several.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// One.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

impl Names {
    /// The names.
    pub fn list(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Any(names) => names,
        }
    }
}

/// Axis name to value names: all must fit.
pub type Filter = BTreeMap<String, Names>;

/// True where every axis of the filter has one of the values it names.
pub fn fits(filter: &Filter, values: &[(String, String)]) -> bool {
    filter.iter().all(|(axis, names)| values.iter().any(|(a, v)| a == axis && names.list().contains(v)))
}

/// True where a combination is to be run: some `only` fits (or there is none), and no `exclude` does.
pub fn keeps(only: &[Filter], exclude: &[Filter], values: &[(String, String)]) -> bool {
    (only.is_empty() || only.iter().any(|f| fits(f, values))) && !exclude.iter().any(|f| fits(f, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn filters_are_conjunctions_and_lists_are_alternatives() {
        let values = [("width".to_string(), "0.5x".to_string()), ("shortcut".to_string(), "with".to_string())];
        assert!(fits(&filter("{width: 0.5x}"), &values));
        assert!(fits(&filter("{width: [1.0x, 0.5x], shortcut: with}"), &values));
        assert!(!fits(&filter("{width: 0.5x, shortcut: without}"), &values));
        assert!(keeps(&[], &[], &values));
        assert!(!keeps(&[filter("{width: 1.0x}")], &[], &values));
        assert!(keeps(&[filter("{width: 1.0x}"), filter("{shortcut: with}")], &[], &values));
        assert!(!keeps(&[], &[filter("{shortcut: with}")], &values));
    }
}
