//! Paths with environment variables: `${COCO}/train2017`, `${COCO:-data/coco}/train2017`.
//!
//! They stay as written until somebody needs the path, so that `config` works on a machine without the data, and a resolved
//! configuration works on another machine. Relative paths are relative to the working directory, as on any command line.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ConfigError;

/// A path as written in an experiment file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("format" = "path"))]
pub struct PathTemplate(String);

impl PathTemplate {
    /// A path as written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path with variables replaced. `key` is for the message.
    ///
    /// # Errors
    /// A variable that is not set and has no default; a `${` without its end.
    pub fn resolve(&self, key: &str) -> Result<PathBuf, ConfigError> {
        self.resolve_with(key, |name| std::env::var(name).ok())
    }

    /// As [`PathTemplate::resolve`], with the variables of `lookup`. A variable that is set but empty counts as not set where there is
    /// a default, as in a shell.
    ///
    /// # Errors
    /// As [`PathTemplate::resolve`].
    fn resolve_with(&self, key: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<PathBuf, ConfigError> {
        let malformed = || ConfigError::Template { key: key.to_string(), template: self.0.clone() };
        let mut out = String::new();
        let mut rest = self.0.as_str();
        while let Some(start) = rest.find("${") {
            out.push_str(&rest[..start]);
            let inner = &rest[start + 2..];
            let end = inner.find('}').ok_or_else(malformed)?;
            let (name, default) = match inner[..end].split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (&inner[..end], None),
            };
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(malformed());
            }
            let value = lookup(name).filter(|v| default.is_none() || !v.is_empty()).or(default.map(str::to_string));
            out.push_str(&value.ok_or_else(|| ConfigError::Variable {
                key: key.to_string(),
                variable: name.to_string(),
                template: self.0.clone(),
            })?);
            rest = &inner[end + 1..];
        }
        out.push_str(rest);
        Ok(PathBuf::from(out))
    }
}

impl fmt::Display for PathTemplate {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<String, String> {
        let lookup = |name: &str| match name {
            "COCO" => Some("/c".to_string()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        PathTemplate::new(text).resolve_with("k", lookup).map(|p| p.display().to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn variables_and_defaults() {
        assert_eq!(resolve("${COCO}/a/${COCO}").unwrap(), "/c/a//c");
        assert_eq!(resolve("${NO:-data/x}/a").unwrap(), "data/x/a");
        assert_eq!(resolve("${EMPTY:-d}/a").unwrap(), "d/a");
        assert_eq!(resolve("${EMPTY}a").unwrap(), "a");
        assert_eq!(resolve("cost$5/{x}").unwrap(), "cost$5/{x}");
    }

    #[test]
    fn what_is_not_set_is_named() {
        let e = resolve("${NO}/a").unwrap_err();
        assert!(e.starts_with("k: the environment variable NO is not set (in '${NO}/a')"), "{e}");
        for bad in ["${COCO", "a${}", "${A B}"] {
            assert!(resolve(bad).unwrap_err().contains("is no valid path"), "{bad}");
        }
    }
}
