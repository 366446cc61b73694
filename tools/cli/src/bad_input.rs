//! Which errors the user can correct (exit code 2), as opposed to runs that failed (exit code 1).
//!
//! Libraries have error enums of their own and no exit codes. Most kinds of error are always one or the other ([`is_bad_input`]); where only a
//! command can decide, it marks the error: `read(path).bad_input()?`, or `return Err(bad_input("no images in …"))`.

use std::error::Error;
use std::fmt;

use repghost_backbone::registry::RegistryError;
use repghost_backbone::weights::WeightsError;
use repghost_coco::{AnnotationError, DataError};
use repghost_export::ExportError;
use repghost_heads::HeadError;
use repghost_train::config::ConfigError;
use repghost_train::error::TrainError;

/// Marks an error as bad input. It is transparent: text and causes are those of the error within.
#[derive(Debug)]
pub struct BadInput(Box<dyn Error + Send + Sync>);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for BadInput {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// An error with this message and exit code 2.
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

impl<T, E: Into<Box<dyn Error + Send + Sync>>> MarkBadInput<T> for Result<T, E> {
    fn bad_input(self) -> anyhow::Result<T> {
        self.map_err(|e| BadInput(e.into()).into())
    }
}

/// True where the error, or one of its causes, is marked, or is of a kind that the user can always correct.
pub fn is_bad_input(error: &anyhow::Error) -> bool {
    error.downcast_ref::<BadInput>().is_some() || error.chain().any(is_kind_of_bad_input)
}

fn is_kind_of_bad_input(cause: &(dyn Error + 'static)) -> bool {
    cause.is::<BadInput>()
        || cause.is::<RegistryError>()
        || cause.is::<HeadError>()
        || cause.is::<ConfigError>()
        || cause.is::<AnnotationError>()
        || cause.is::<WeightsError>()
        || cause.downcast_ref::<DataError>().is_some_and(of_data)
        || cause.downcast_ref::<TrainError>().is_some_and(of_training)
        || cause.downcast_ref::<ExportError>().is_some_and(of_export)
}

/// Everything but the loader's own failure. A place that cannot be written to counts: the user named it.
fn of_data(error: &DataError) -> bool {
    !matches!(error, DataError::WorkerLost { .. })
}

fn of_training(error: &TrainError) -> bool {
    match error {
        // The input was in order; the computation was not.
        TrainError::NotFinite(_)
        | TrainError::FuseDiffers { .. }
        | TrainError::Torch(_)
        | TrainError::Shim(_)
        | TrainError::Json { .. } => false,
        TrainError::Metric(_) => false,
        TrainError::Data(e) => of_data(e),
        _ => true,
    }
}

fn of_export(error: &ExportError) -> bool {
    match error {
        ExportError::Model(e) => of_training(e),
        ExportError::Parity { .. } | ExportError::ParityDetections { .. } | ExportError::Runtime { .. } => false,
        _ => true,
    }
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

    /// One rule in both crates: files that cannot be read or written are the user's to correct, failed computations are not.
    #[test]
    fn the_same_cause_has_the_same_code_whatever_the_command() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        for error in [
            anyhow::Error::from(TrainError::io("last.safetensors")(full())),
            ExportError::io("detector.onnx")(full()).into(),
            ExportError::Model(TrainError::io("a.jpg")(std::io::ErrorKind::NotFound.into())).into(),
            DataError::Write { path: "sheet.png".into(), source: full() }.into(),
        ] {
            assert!(is_bad_input(&error), "{error}");
        }
        let failed = ExportError::ParityDetections { missing: 1, total: 2 };
        assert!(
            !is_bad_input(&failed.into()) && !is_bad_input(&TrainError::FuseDiffers { difference: 1.0, largest: 1.0 }.into())
        );
    }
}
