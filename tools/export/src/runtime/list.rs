//! All runtimes. A new one is a file with its [`Session`] and a row here: `predict`, `eval`, `bench` and the parity check find it by its name.

use repghost_backbone::Backbone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::Tensor;

use super::session::{Session, Settings};
use super::{libtorch, onnxruntime, python};
use crate::error::ExportError;

/// How a runtime loads an ONNX file.
pub type OpenFile = fn(&[u8], Settings) -> Result<Box<dyn Session + Send>, ExportError>;
/// How a runtime takes a network as it is; the tensor is an image batch of the size that it will run on.
pub type OpenNetwork = for<'a> fn(&'a Backbone, &Tensor, Settings) -> Result<Box<dyn Session + 'a>, ExportError>;

/// What a runtime takes.
#[derive(Clone, Copy)]
pub enum Takes {
    /// ONNX files.
    File(OpenFile),
    /// Networks in memory.
    Network(OpenNetwork),
}

/// Something that runs networks.
pub struct Runtime {
    /// Name on the command line, in plans and tables.
    pub name: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// Whether it is there; the error names what is missing.
    pub check: fn() -> Result<(), ExportError>,
    /// How it loads a network.
    pub takes: Takes,
}

/// The runtime that exports are checked with.
pub const REFERENCE: &Runtime = &Runtime {
    name: "onnxruntime",
    about: "the exported network, on the CPU: the fast way there",
    check: onnxruntime::check,
    takes: Takes::File(onnxruntime::open),
};

/// TensorRT; the benchmark times it by trtexec instead.
pub const TENSORRT: &Runtime = &Runtime {
    name: "tensorrt",
    about: "the exported network as a TensorRT engine (needs an NVIDIA GPU, TensorRT and onnxruntime-gpu)",
    check: onnxruntime::check_tensorrt,
    takes: Takes::File(onnxruntime::open_tensorrt),
};

/// All of them, in the order of tables.
pub const RUNTIMES: &[&Runtime] = &[
    &Runtime {
        name: "libtorch",
        about: "the network as it trains, folded; on CUDA where there is some",
        check: || Ok(()),
        takes: Takes::Network(libtorch::eager),
    },
    &Runtime {
        name: "torchscript",
        about: "the network traced by libtorch",
        check: || Ok(()),
        takes: Takes::Network(libtorch::traced),
    },
    REFERENCE,
    &Runtime {
        name: "mnn",
        about: "the exported network in MNN (its Python package), on the CPU",
        check: python::check_mnn,
        takes: Takes::File(python::open_mnn),
    },
    &Runtime {
        name: "openvino",
        about: "the exported network in OpenVINO (its Python package), on the CPU",
        check: python::check_openvino,
        takes: Takes::File(python::open_openvino),
    },
    TENSORRT,
];

/// What a command line needs of a [`Runtime`] before one is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// See [`Runtime::name`].
    pub name: &'static str,
    /// See [`Runtime::about`].
    pub about: &'static str,
    /// Whether it takes exported files, not networks in memory.
    pub takes_files: bool,
}

/// [`RUNTIMES`] without what runs networks. Made at compile time, so that what uses it refers to no runtime.
pub const DESCRIPTIONS: [Description; RUNTIMES.len()] = {
    let mut all = [RUNTIMES[0].description(); RUNTIMES.len()];
    let mut i = 0;
    while i < all.len() {
        all[i] = RUNTIMES[i].description();
        i += 1;
    }
    all
};

/// Runtimes that take exported files.
pub fn of_files() -> impl Iterator<Item = &'static Runtime> {
    RUNTIMES.iter().copied().filter(|r| r.takes_files())
}

/// The runtime of a name.
pub fn by_name(name: &str) -> Option<&'static Runtime> {
    RUNTIMES.iter().copied().find(|r| r.name == name)
}

impl Runtime {
    const fn description(&self) -> Description {
        Description { name: self.name, about: self.about, takes_files: self.takes_files() }
    }

    const fn takes_files(&self) -> bool {
        matches!(self.takes, Takes::File(_))
    }

    /// Loads an ONNX file.
    ///
    /// # Errors
    /// A runtime that takes no files or is not there; a file that it refuses.
    pub fn open(&self, file: &[u8], settings: Settings) -> Result<Box<dyn Session + Send>, ExportError> {
        match self.takes {
            Takes::File(open) => open(file, settings),
            Takes::Network(_) => Err(ExportError::NoRuntime { runtime: self.name, missing: "it takes no exported files".into() }),
        }
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Names are unique.
impl PartialEq for Runtime {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Runtime {}

impl Serialize for Runtime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for &'static Runtime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        by_name(&name).ok_or_else(|| {
            let names: Vec<&str> = RUNTIMES.iter().map(|r| r.name).collect();
            serde::de::Error::custom(format!("there is no runtime '{name}'; there are {}", names.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (i, runtime) in RUNTIMES.iter().enumerate() {
            assert_eq!(RUNTIMES.iter().position(|r| r.name == runtime.name), Some(i));
            assert_eq!(by_name(runtime.name), Some(*runtime));
        }
        assert_eq!(by_name("onnx"), None);
    }

    #[test]
    fn plans_name_runtimes() {
        let read: Vec<&'static Runtime> = serde_yaml::from_str("[libtorch, openvino]").unwrap();
        assert_eq!(read.iter().map(|r| r.name).collect::<Vec<_>>(), ["libtorch", "openvino"]);
        let message = serde_yaml::from_str::<Vec<&'static Runtime>>("[onnx]").unwrap_err().to_string();
        assert!(message.contains("no runtime 'onnx'") && message.contains("onnxruntime"), "{message}");
        assert_eq!(serde_yaml::to_string(REFERENCE).unwrap().trim(), "onnxruntime");
    }

    #[test]
    fn a_network_runtime_takes_no_file() {
        let message = RUNTIMES[0].open(&[], Settings::threads(1)).err().unwrap().to_string();
        assert!(message.contains("libtorch") && message.contains("no exported files"), "{message}");
    }
}
