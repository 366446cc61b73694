//! Tells bad input (the user can mend it: exit code 2) from a failed run (exit code 1).
//!
//! Libraries have error enums of their own and know nothing of exit codes. Where a command learns that an error comes from what the
//! user gave, it marks it: `read(path).bad_input()?`, or `return Err(bad_input("no images in …"))`.

use std::fmt;

use repghost_backbone::registry::RegistryError;
use repghost_coco::annotations::AnnotationError;
use repghost_heads::HeadError;

use crate::config::ConfigError;
use crate::error::TrainError;

/// Marks an error as bad input. It is transparent: text and causes are those of the error within.
#[derive(Debug)]
pub struct BadInput(Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BadInput {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// An error that says `message` and exits with code 2.
pub fn bad_input(message: impl fmt::Display) -> anyhow::Error {
    BadInput(message.to_string().into()).into()
}

/// Marking of results.
pub trait MarkBadInput<T> {
    /// The error, if any, marked as bad input.
    ///
    /// # Errors
    /// The same as before.
    fn bad_input(self) -> anyhow::Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> MarkBadInput<T> for Result<T, E> {
    fn bad_input(self) -> anyhow::Result<T> {
        self.map_err(|e| BadInput(e.into()).into())
    }
}

/// True where the error, or one of its causes, is marked, or is of a kind that always is bad input.
pub fn is_bad_input(error: &anyhow::Error) -> bool {
    error.downcast_ref::<BadInput>().is_some() || error.chain().any(is_kind_of_bad_input)
}

fn is_kind_of_bad_input(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<BadInput>()
        || cause.is::<RegistryError>()
        || cause.is::<HeadError>()
        || cause.downcast_ref::<ConfigError>().is_some_and(|e| !matches!(e, ConfigError::Write { .. }))
        || cause.downcast_ref::<AnnotationError>().is_some_and(|e| !matches!(e, AnnotationError::Write { .. }))
        || cause.downcast_ref::<TrainError>().is_some_and(|e| e.exit_code() == 2)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn marks_survive_context_and_keep_the_text() {
        let io = || std::io::Error::other("no such thing");
        let marked = Err::<(), _>(io()).bad_input().context("while reading").unwrap_err();
        assert!(is_bad_input(&marked));
        assert_eq!(format!("{marked:#}"), "while reading: no such thing");
        assert!(is_bad_input(&bad_input("x")) && is_bad_input(&bad_input("x").context("y")));
        assert!(!is_bad_input(&anyhow::Error::from(io()).context("y")));
    }
}
