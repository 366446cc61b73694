//! What runs on NVIDIA's cards, part by part: found, or why not.

use repghost_kernels::device::driver::{driver, Card};
use repghost_kernels::device::libraries::{self, dotted};
use repghost_kernels::device::Choice;
use serde::Serialize;

/// A part: its version, or why there is none.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Its version.
    Found(String),
    /// Why it cannot be used.
    Missing(String),
}

impl Part {
    fn of<E: ToString>(version: Result<String, E>) -> Self {
        match version {
            Ok(version) => Self::Found(version),
            Err(why) => Self::Missing(why.to_string()),
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Found(version) => f.write_str(version),
            Self::Missing(why) => write!(f, "not there: {why}"),
        }
    }
}

/// All parts.
#[derive(Clone, Debug, Serialize)]
pub struct Cuda {
    /// What `run.device: auto` comes to.
    pub device: String,
    /// The driver, by the CUDA version that it runs.
    driver: Part,
    /// The cards, in words, in the order of their numbers.
    cards: Vec<String>,
    /// libtorch's CUDA half, by its CUDA version.
    libtorch: Part,
    /// cuDNN: convolutions.
    cudnn: Part,
    /// NVRTC: this project's own kernels.
    nvrtc: Part,
    /// NCCL: several cards.
    nccl: Part,
}

impl Cuda {
    /// Looks at all of them; opens libtorch's CUDA half where there is one.
    pub fn collect() -> Self {
        let opened = libraries::open_cuda();
        let asked = driver();
        let libtorch = match &opened {
            Ok(()) => Part::of(libraries::cudart_version().map(|v| format!("CUDA {}", dotted(v)))),
            Err(why) => Part::Missing(why.to_string()),
        };
        let cudnn = match (&opened, tch::Cuda::cudnn_is_available()) {
            (Err(_), _) => Part::Missing("it comes with libtorch's CUDA half".into()),
            (Ok(()), false) => Part::Missing("libtorch finds none, or no card".into()),
            (Ok(()), true) => Part::Found(cudnn_words(tch::utils::version_cudnn())),
        };
        Self {
            device: match Choice::Auto.resolve() {
                Ok(chosen) => chosen.words,
                Err(why) => why.to_string(),
            },
            driver: Part::of(asked.clone().map(|d| format!("CUDA {}", dotted(d.cuda)))),
            cards: asked.map(|d| d.cards).unwrap_or_default().iter().map(Card::to_string).collect(),
            libtorch,
            cudnn,
            nvrtc: Part::of(libraries::nvrtc_version()),
            nccl: Part::of(libraries::nccl_version()),
        }
    }

    /// A line per part: name and text.
    pub fn rows(&self) -> Vec<(String, String)> {
        let parts = [
            ("driver", &self.driver),
            ("libtorch CUDA", &self.libtorch),
            ("cuDNN", &self.cudnn),
            ("NVRTC", &self.nvrtc),
            ("NCCL", &self.nccl),
        ];
        let cards = self.cards.iter().enumerate().map(|(i, card)| (format!("cuda:{i}"), card.clone()));
        parts.into_iter().map(|(name, part)| (name.to_string(), part.to_string())).chain(cards).collect()
    }
}

/// cuDNN counts 9.13.1 as 91301.
fn cudnn_words(version: i64) -> String {
    format!("{}.{}.{}", version / 10_000, version % 10_000 / 100, version % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_words() {
        assert_eq!(cudnn_words(91301), "9.13.1");
        assert_eq!(Part::of::<String>(Ok("13.0".into())).to_string(), "13.0");
        assert_eq!(Part::of(Err("no driver")).to_string(), "not there: no driver");
    }
}
