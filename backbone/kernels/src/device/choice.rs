//! Which device a user wants, and which one that is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::Device;

use super::driver::{driver, NoDriver};
use super::libraries::{self, dotted, NoCudaHalf};

/// A value of `run.device` and `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The first card that works, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A card, by its number from 0.
    Cuda(usize),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                text.strip_prefix("cuda:").and_then(|number| number.parse().ok()).map(Self::Cuda).ok_or_else(|| {
                    format!("'{text}' is no device: expected auto, cpu, cuda or cuda:N (cuda:0 is the first card)")
                })
            }
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

/// As text, in experiment files.
impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a card cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCuda {
    /// The driver's side.
    #[error(transparent)]
    Driver(#[from] NoDriver),
    /// libtorch's side.
    #[error(transparent)]
    Library(#[from] NoCudaHalf),
    /// The driver is older than libtorch's CUDA.
    #[error("the NVIDIA driver runs CUDA {found}, this libtorch needs {needed}: update the driver")]
    OldDriver {
        /// What the driver runs.
        found: String,
        /// What libtorch was built with.
        needed: String,
    },
    /// The driver shows none.
    #[error("the NVIDIA driver shows no card{}", hidden())]
    NoCard,
    /// There are fewer cards.
    #[error("there is no card {wanted}: this machine shows {}", counted(*.found))]
    NoSuchCard {
        /// The number that was asked for.
        wanted: usize,
        /// Cards that there are.
        found: usize,
    },
}

fn hidden() -> String {
    match std::env::var("CUDA_VISIBLE_DEVICES") {
        Ok(value) => format!(" (CUDA_VISIBLE_DEVICES is '{value}')"),
        Err(_) => String::new(),
    }
}

fn counted(cards: usize) -> String {
    match cards {
        1 => "one card, cuda:0".into(),
        n => format!("{n} cards, cuda:0 to cuda:{}", n.saturating_sub(1)),
    }
}

/// The device that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Where tensors go.
    pub device: Device,
    /// In words, with the reason where it is the CPU although a card would have done: "cuda:0, NVIDIA H100 …", "CPU (no NVIDIA driver …)".
    pub words: String,
}

impl Choice {
    /// Finds the device. Opens libtorch's CUDA half where a card may be wanted, so it must come before the first question about CUDA.
    ///
    /// # Errors
    /// A card was asked for by name and cannot be used.
    pub fn resolve(self) -> Result<Chosen, NoCuda> {
        let cpu = |words: String| Chosen { device: Device::Cpu, words };
        match self {
            Self::Cpu => Ok(cpu("CPU".into())),
            Self::Auto => Ok(card(0).unwrap_or_else(|why| cpu(format!("CPU ({why})")))),
            Self::Cuda(number) => card(number),
        }
    }
}

fn card(number: usize) -> Result<Chosen, NoCuda> {
    let cards = count()?;
    if number >= cards {
        return Err(NoCuda::NoSuchCard { wanted: number, found: cards });
    }
    let name = driver().ok().and_then(|d| d.cards.get(number).map(|c| format!(", {c}"))).unwrap_or_default();
    Ok(Chosen { device: Device::Cuda(number), words: format!("cuda:{number}{name}") })
}

/// Cards that libtorch can use; at least one.
///
/// # Errors
/// Why there is none.
pub fn count() -> Result<usize, NoCuda> {
    let opened = libraries::open_cuda();
    // Only without a driver or without the CUDA half can the answer be no before libtorch is asked. (Libtorch is asked all the same: tests
    // run on a simulated card, which has neither.)
    let cards = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
    if cards > 0 {
        return Ok(cards);
    }
    let driver = driver()?;
    opened?;
    let needed = libraries::cudart_version().unwrap_or(0);
    // Within a major version, minor versions are compatible.
    if driver.cuda / 1000 < needed / 1000 {
        return Err(NoCuda::OldDriver { found: dotted(driver.cuda), needed: dotted(needed) });
    }
    Err(NoCuda::NoCard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_back() {
        for (text, choice) in
            [("auto", Choice::Auto), ("cpu", Choice::Cpu), ("cuda", Choice::Cuda(0)), ("cuda:3", Choice::Cuda(3))]
        {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string(), text);
        }
        for wrong in ["gpu", "cuda:", "cuda:-1", "cuda:x", "", "CUDA"] {
            assert!(wrong.parse::<Choice>().unwrap_err().contains("expected auto, cpu"), "{wrong}");
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert_eq!(Choice::Cpu.resolve().unwrap(), Chosen { device: Device::Cpu, words: "CPU".into() });
    }

    /// On a machine without a card `auto` names the reason that `cuda` refuses with; on one with a card both take it.
    #[test]
    fn auto_says_why() {
        let (auto, cuda) = (Choice::Auto.resolve().unwrap(), Choice::Cuda(0).resolve());
        match cuda {
            Ok(card) => assert_eq!(auto, card),
            Err(why) => assert_eq!(auto.words, format!("CPU ({why})")),
        }
    }

    #[test]
    fn a_missing_card_is_named() {
        let one = NoCuda::NoSuchCard { wanted: 3, found: 1 };
        assert_eq!(one.to_string(), "there is no card 3: this machine shows one card, cuda:0");
        let four = NoCuda::NoSuchCard { wanted: 4, found: 4 };
        assert_eq!(four.to_string(), "there is no card 4: this machine shows 4 cards, cuda:0 to cuda:3");
    }
}
