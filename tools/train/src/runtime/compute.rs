//! Where and how exactly an experiment computes: its device, and the precision of its forward passes.

use repghost_kernels::cpu;
use repghost_kernels::device::driver::driver;
use repghost_kernels::device::precision::{allow_tf32, deterministic, Autocast};
use repghost_kernels::device::{Choice, Chosen};
use tch::{Cuda, Device, Kind};

use crate::config::{Experiment, Kernels, Precision, Task};
use crate::error::TrainError;

/// bfloat16 is in hardware from this compute capability on.
const BF16_CAPABILITY: i32 = 8;

/// Device and precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compute {
    /// Where tensors are.
    pub device: Device,
    /// Convolutions and products of a training step run in this kind, where it is no 32-bit float.
    half: Option<Kind>,
    /// Device and precision for people, with the reason where the CPU was taken although any card would have done.
    pub words: String,
}

/// The device of `run.device`. Must come before anything else asks libtorch about CUDA.
///
/// # Errors
/// [`TrainError::Device`] where a card is asked for by name and cannot be used.
pub fn device(e: &Experiment) -> Result<Device, TrainError> {
    let device = choose(e.run.device)?.device;
    multiply(e.train.precision, device)?;
    cpu::set_enabled(are_own(e.train.kernels, None));
    Ok(device)
}

/// Whether this program's own kernels convolve on the CPU. Half precisions are libtorch's matter.
fn are_own(kernels: Kernels, half: Option<Kind>) -> bool {
    kernels == Kernels::Fast && half.is_none()
}

/// How a card multiplies 32-bit floats: the same in training and in every later command.
fn multiply(precision: Precision, device: Device) -> Result<(), TrainError> {
    match device {
        Device::Cuda(_) => Ok(allow_tf32(precision != Precision::Fp32)?),
        _ => Ok(()),
    }
}

fn choose(wanted: Choice) -> Result<Chosen, TrainError> {
    wanted.resolve().map_err(|source| TrainError::Device { wanted, source })
}

impl Compute {
    /// Device and precision of training, and libtorch's process-wide switches for them.
    ///
    /// # Errors
    /// A device or precision that this machine does not have.
    pub fn start(e: &Experiment) -> Result<Self, TrainError> {
        let Chosen { device, mut words } = choose(e.run.device)?;
        let precision = e.train.precision;
        let half = half(precision, device)?;
        multiply(precision, device)?;
        cpu::set_enabled(are_own(e.train.kernels, half));
        if device == Device::Cpu {
            cpu::keep_memory();
        }
        if device == Device::Cpu && e.train.kernels == Kernels::Libtorch {
            words += "; libtorch's convolutions";
        }
        if precision != Precision::Fp32 {
            words += match (precision, device) {
                (Precision::Tf32, Device::Cpu) => "; tf32 is of cards, so this is fp32",
                (Precision::Tf32, _) => "; tf32",
                (Precision::Bf16, _) => "; bf16",
                (Precision::Fp16, _) => "; fp16",
                (Precision::Fp32, _) => "",
            };
        }
        if device.is_cuda() && e.train.replicas > 1 {
            words += "; one replica instead of train.replicas, which is for CPUs";
        }
        if device.is_cuda() {
            deterministic(e.train.deterministic)?;
            // Looking for the fastest algorithm pays where all batches have one size.
            Cuda::cudnn_set_benchmark(e.task == Task::Classification && !e.train.deterministic);
        }
        Ok(Self { device, half, words })
    }

    /// A line for people.
    pub fn note(&self) -> String {
        format!("device: {}", self.words)
    }

    /// Lowers the precision of what this thread computes while the guard lives, where the experiment wants that.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn lowered(&self) -> Result<Option<Autocast>, TrainError> {
        Ok(self.half.map(|kind| Autocast::start(self.device, kind)).transpose()?)
    }
}

fn half(precision: Precision, device: Device) -> Result<Option<Kind>, TrainError> {
    let refused = |problem: String| Err(TrainError::setting("train.precision", problem));
    match (precision, device) {
        (Precision::Fp32 | Precision::Tf32, _) => Ok(None),
        (Precision::Fp16, Device::Cuda(_)) => Ok(Some(Kind::Half)),
        (Precision::Fp16, _) => refused("fp16 needs a card; the CPU computes in fp32 or bf16".into()),
        (Precision::Bf16, Device::Cuda(number)) => match driver().ok().and_then(|d| d.cards.get(number).cloned()) {
            Some(card) if card.capability[0] < BF16_CAPABILITY => {
                refused(format!("bf16 needs a card of compute capability 8.0 or above, this is {card}; fp16 runs on it"))
            }
            _ => Ok(Some(Kind::BFloat16)),
        },
        (Precision::Bf16, _) => Ok(Some(Kind::BFloat16)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_cpu(precision: Precision) -> Result<Compute, TrainError> {
        let mut e = Experiment::default();
        e.run.device = Choice::Cpu;
        e.train.precision = precision;
        Compute::start(&e)
    }

    #[test]
    fn half_precision_is_left_to_libtorch() {
        assert!(are_own(Kernels::Fast, None));
        assert!(!are_own(Kernels::Fast, Some(Kind::BFloat16)) && !are_own(Kernels::Libtorch, None));
    }

    #[test]
    fn what_the_cpu_computes_in() {
        assert_eq!(on_cpu(Precision::Fp32).unwrap().words, "CPU");
        assert_eq!(on_cpu(Precision::Tf32).unwrap().words, "CPU; tf32 is of cards, so this is fp32");
        let bf16 = on_cpu(Precision::Bf16).unwrap();
        assert_eq!((bf16.words.as_str(), bf16.half), ("CPU; bf16", Some(Kind::BFloat16)));
        let refused = on_cpu(Precision::Fp16).unwrap_err().to_string();
        assert_eq!(refused, "train.precision: fp16 needs a card; the CPU computes in fp32 or bf16");
    }
}
