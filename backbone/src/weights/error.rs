//! One variant for each way a weight file can be wrong.

use std::path::{Path, PathBuf};

use super::form::Form;
use super::pickle::PickleError;
use super::report::LoadReport;

/// Why weights could not be read, written or loaded.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// An error of the file system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A device, a pipe or a folder.
    #[error("{}: not a regular file; weights are read from regular files only", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// An archive whose compressed data is many times its size.
    #[error("{}: the archive unpacks to more than {limit} bytes, {factor} times its size; torch.save writes weights uncompressed", path.display())]
    Bomb {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
        /// Bytes allowed per byte of the file.
        factor: u64,
    },
    /// Weights that are NaN or infinite.
    #[error("tensor '{name}' has {values} of {elements} values that are not finite (NaN or infinity){}", and_others(*.others))]
    NotFinite {
        /// The first such tensor, as the file has it.
        name: String,
        /// Its values that are not finite.
        values: i64,
        /// Its number of values.
        elements: i64,
        /// Number of other such tensors.
        others: usize,
    },
    /// A file of no bytes.
    #[error("{}: the file is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Neither safetensors nor written by `torch.save`.
    #[error("{}: neither a safetensors file nor one written by torch.save", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A pickle that `torch.save` did not write.
    #[error("{}: a pickle, but not one written by torch.save; save the state dict with torch.save or as safetensors", path.display())]
    PlainPickle {
        /// The file.
        path: PathBuf,
    },
    /// A tar: an archive around the weights, or the format of PyTorch before 0.1.10.
    #[error("{}: a tar archive; unpack it and name the weight file inside", path.display())]
    Tar {
        /// The file.
        path: PathBuf,
    },
    /// A safetensors file that its crate refuses.
    #[error("{}: damaged safetensors file: {source}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The error of the safetensors crate.
        source: ::safetensors::SafeTensorError,
    },
    /// A zip that cannot be read (cut off, or damaged).
    #[error("{}: damaged zip: {source}", path.display())]
    Zip {
        /// The file.
        path: PathBuf,
        /// The error of the zip crate.
        source: zip::result::ZipError,
    },
    /// A zip without `data.pkl`.
    #[error("{}: a zip without data.pkl, so not written by torch.save", path.display())]
    NoPickle {
        /// The file.
        path: PathBuf,
    },
    /// A TorchScript archive.
    #[error("{}: a TorchScript archive; save model.state_dict() with torch.save instead", path.display())]
    TorchScript {
        /// The file.
        path: PathBuf,
    },
    /// A file written on a big-endian machine.
    #[error("{}: written in byte order '{order}'; only little-endian files are read", path.display())]
    ByteOrder {
        /// The file.
        path: PathBuf,
        /// The byte order in the file.
        order: String,
    },
    /// A pickle that cannot be read as data.
    #[error("{}: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// The error in the pickle.
        source: PickleError,
    },
    /// A file ends inside a part.
    #[error("{}: cut off inside {part}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The part.
        part: String,
    },
    /// The legacy format's numbers are not those of `torch.save`.
    #[error("{}: legacy torch file with protocol {found}, expected 1001", path.display())]
    LegacyProtocol {
        /// The file.
        path: PathBuf,
        /// The protocol in the file.
        found: String,
    },
    /// A whole Python object was pickled instead of its state dict.
    #[error("{}: holds a pickled object of class {class}, not a state dict; save model.state_dict() instead", path.display())]
    WholeObject {
        /// The file.
        path: PathBuf,
        /// Its class.
        class: String,
    },
    /// No dict of tensors anywhere that one is looked for.
    #[error("{}: no dict of tensors at the top or under {keys} (found: {found})", path.display())]
    NoStateDict {
        /// The file.
        path: PathBuf,
        /// The keys under which one is looked for.
        keys: String,
        /// The top level's keys, or its type.
        found: String,
    },
    /// A tensor of the file is impossible.
    #[error("{}: tensor '{name}': {source}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The error in the tensor.
        source: TensorError,
    },
    /// A storage that the pickle names is not in the file, or has another size.
    #[error("{}: storage '{key}': {reason}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// The storage's key.
        key: String,
        /// The difference from what the pickle claims.
        reason: String,
    },
    /// A name occurs twice in what is to be written.
    #[error("{}: two tensors are called '{name}'", path.display())]
    DuplicateName {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// Weights and model are in different forms and the model cannot follow.
    #[error("the weights are in {file} form, but the model is already in {model} form; build it anew")]
    FormMismatch {
        /// The weights' form.
        file: Form,
        /// The model's form.
        model: Form,
    },
    /// The weights do not fit the model as strictly as was asked. Nothing was copied.
    #[error("the weights do not fit the model:\n{0}")]
    Fit(Box<LoadReport>),
}

fn and_others(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(", and so have {n} other tensors"),
    }
}

impl WeightsError {
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    pub(super) fn pickle(path: &Path, source: PickleError) -> Self {
        Self::Pickle { path: path.into(), source }
    }
}

/// Why a tensor of a file is impossible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// An element kind that networks here do not use.
    #[error("elements of kind {0} are not supported")]
    Kind(String),
    /// A negative size, stride or offset.
    #[error("size {size:?}, stride {stride:?}, offset {offset}: not a tensor's geometry")]
    Geometry {
        /// Sizes.
        size: Vec<i64>,
        /// Strides.
        stride: Vec<i64>,
        /// First element.
        offset: i64,
    },
    /// Elements outside the storage.
    #[error("reaches element {last} of a storage of {storage}")]
    OutOfStorage {
        /// The last element that the tensor would read.
        last: u64,
        /// Elements of the storage.
        storage: u64,
    },
    /// The file's tensors together take much more memory than the file.
    #[error("expands {storage} stored elements to {elements}; all tensors of a file may expand by {limit} bytes")]
    Expanded {
        /// Elements of the tensor.
        elements: u64,
        /// Elements of the storage.
        storage: u64,
        /// The limit, in bytes per file.
        limit: u64,
    },
    /// Data of another length than shape and kind need.
    #[error("shape {shape:?} needs {expected} bytes, found {found}")]
    Bytes {
        /// Sizes.
        shape: Vec<i64>,
        /// Bytes by shape and kind.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
}
