//! Why a detector could not be built.

/// A setting that makes no detector. Each message names the key of the experiment file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HeadError {
    /// The head needs a pyramid level that the backbone does not tap.
    #[error("model.head.levels: {asked:?} asked for, but {backbone} taps {there:?}")]
    Levels {
        /// Levels of the head.
        asked: Vec<u32>,
        /// Name of the backbone.
        backbone: String,
        /// Levels that the backbone taps.
        there: Vec<u32>,
    },
    /// Settings out of their ranges.
    #[error(transparent)]
    Settings(#[from] repghost_config::Problems),
    /// A setting that does not fit the others, or the network.
    #[error("{key}: {value} is not {expected}")]
    Range {
        /// Dotted key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is allowed, after "is not".
        expected: &'static str,
    },
}

impl HeadError {
    /// A value outside its range.
    pub(crate) fn range(key: &'static str, value: impl std::fmt::Display, expected: &'static str) -> Self {
        Self::Range { key, value: value.to_string(), expected }
    }
}
