//! What is in a weight file.

use std::collections::BTreeMap;
use std::path::Path;

use tch::Kind;

use super::{detect_form, guess, read, sniff, Container, Form, Guess, StateDict, WeightsError};

/// Name, shape and kind of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name.
    pub name: String,
    /// Sizes.
    pub shape: Vec<i64>,
    /// Kind of the elements.
    pub kind: Kind,
}

/// What a weight file holds.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Kind of file.
    pub container: Container,
    /// The entry of a checkpoint that holds the weights.
    pub chosen: Option<String>,
    /// What reading did: the entry taken where there were several, prefixes stripped, names renamed.
    pub notes: Vec<String>,
    /// Tensors in file order.
    pub tensors: Vec<TensorInfo>,
    /// The file's metadata.
    pub metadata: BTreeMap<String, String>,
    /// Python globals that the file names and that were not called.
    pub foreign: Vec<String>,
    /// Training, deploy or folded.
    pub form: Form,
    /// What network the weights look like.
    pub guess: Option<Guess>,
}

impl Inspection {
    /// Number of elements in all tensors.
    pub fn elements(&self) -> i64 {
        self.tensors.iter().map(|t| t.shape.iter().product::<i64>()).sum()
    }
}

/// Reads a weight file and lists its contents.
///
/// # Errors
/// Those of [`read`].
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection, WeightsError> {
    let path = path.as_ref();
    Ok(Inspection::of(sniff(path)?, read(path)?))
}

impl Inspection {
    /// What a state dict from a file of kind `container` holds.
    pub fn of(container: Container, state: StateDict) -> Self {
        let info = |(name, t): &(String, tch::Tensor)| TensorInfo { name: name.clone(), shape: t.size(), kind: t.kind() };
        Self {
            container,
            tensors: state.tensors.iter().map(info).collect(),
            form: detect_form(&state),
            guess: guess(&state),
            chosen: state.chosen,
            notes: state.notes,
            metadata: state.metadata,
            foreign: state.foreign,
        }
    }
}
