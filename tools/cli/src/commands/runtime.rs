//! `--runtime`: what runs a detector.

use std::path::Path;

use repghost_export::engine_pool::EXTENSION;
use repghost_export::runtime::onnxruntime::Provider;
use repghost_train::bad_input;

/// What runs a detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Runtime {
    /// The network as it trains, folded; on CUDA where there is some.
    Libtorch,
    /// The exported network, on the CPU: the fast way there.
    Onnxruntime,
    /// The exported network as a TensorRT engine (needs an NVIDIA GPU, TensorRT and onnxruntime-gpu).
    Tensorrt,
}

impl Runtime {
    /// The provider of onnxruntime, or none for libtorch. Exported files run in onnxruntime where nothing is said.
    pub fn provider(asked: Option<Self>, weights: &Path) -> anyhow::Result<Option<Provider>> {
        let exported = weights.extension().is_some_and(|x| x == EXTENSION);
        match asked {
            Some(Self::Libtorch) if exported => Err(bad_input(format!(
                "--runtime libtorch: {} is an exported file; give the weights that it was exported from, or --runtime onnxruntime",
                weights.display()
            ))),
            Some(Self::Libtorch) => Ok(None),
            None if !exported => Ok(None),
            Some(Self::Tensorrt) => Ok(Some(Provider::TensorRt)),
            _ => Ok(Some(Provider::Cpu)),
        }
    }
}
