//! The command line of a latency measurement: batch 32, warm-up, exactly 100 timed runs, as the paper does.
//!
//! TensorRT 11 removed `--fp16` (a network's types are those of its file) and made CUDA graphs, no data transfers, spin wait and the
//! separate profile run its defaults; unknown flags are errors there. So the command depends on the version.

use std::path::{Path, PathBuf};

use super::find::Version;
use crate::spec::INPUT;

/// Timed runs.
pub const RUNS: u32 = 100;
/// Milliseconds of warm-up before them.
pub const WARM_UP_MS: u32 = 500;
/// Images per run.
pub const BATCH: i64 = 32;

/// What the command line depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// TensorRT up to 10.
    UpTo10,
    /// TensorRT 11 and newer: strongly typed.
    From11,
}

impl From<Version> for Generation {
    fn from(v: Version) -> Self {
        if v.major >= 11 {
            Self::From11
        } else {
            Self::UpTo10
        }
    }
}

/// A measurement.
#[derive(Clone, Debug)]
pub struct TrtBench {
    /// The exported file.
    pub onnx: PathBuf,
    /// Where engine, times and profile go.
    pub output: PathBuf,
    /// Images per run.
    pub batch: i64,
    /// Channels, height and width of the input.
    pub input: [i64; 3],
    /// Whether the file's batch is dynamic.
    pub dynamic: bool,
    /// Whether the file is typed in half precision. Up to TensorRT 10 the builder needs a flag for it.
    pub fp16: bool,
}

impl TrtBench {
    /// The file that per-run times are exported to.
    pub fn times(&self) -> PathBuf {
        self.output.join("times.json")
    }

    /// The file that per-layer times are exported to.
    pub fn profile(&self) -> PathBuf {
        self.output.join("profile.json")
    }

    /// Arguments for a trtexec of that generation.
    pub fn arguments(&self, generation: Generation) -> Vec<String> {
        let file = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        let mut args = vec![file("onnx", &self.onnx)];
        if self.dynamic {
            let [c, h, w] = self.input;
            let shape = |n: i64| format!("{INPUT}:{n}x{c}x{h}x{w}");
            args.push(format!("--minShapes={}", shape(1)));
            args.push(format!("--optShapes={}", shape(self.batch)));
            args.push(format!("--maxShapes={}", shape(self.batch)));
            args.push(format!("--shapes={}", shape(self.batch)));
        }
        if generation == Generation::UpTo10 {
            if self.fp16 {
                args.push("--fp16".into());
            }
            args.extend(["--useCudaGraph", "--useSpinWait", "--noDataTransfers", "--separateProfileRun"].map(String::from));
        }
        // The loop runs while `i < iterations + skipped || t < duration + warm-up`: no duration gives exactly the runs asked for.
        args.push(format!("--warmUp={WARM_UP_MS}"));
        args.push(format!("--iterations={RUNS}"));
        args.push("--duration=0".into());
        args.push(format!("--avgRuns={RUNS}"));
        args.push("--profilingVerbosity=detailed".into());
        args.push("--dumpProfile".into());
        args.push(file("exportTimes", &self.times()));
        args.push(file("exportProfile", &self.profile()));
        args.push(file("exportLayerInfo", &self.output.join("layers.json")));
        args.push(file("saveEngine", &self.output.join("model.plan")));
        args
    }

    /// The whole command as a shell would take it.
    pub fn shell(&self, trtexec: &str, generation: Generation) -> String {
        std::iter::once(trtexec.to_string()).chain(self.arguments(generation)).map(|a| quote(&a)).collect::<Vec<_>>().join(" ")
    }
}

/// Single quotes where a shell would otherwise take a character for its own.
fn quote(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if argument.chars().all(plain) {
        argument.to_string()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(dynamic: bool, fp16: bool) -> TrtBench {
        TrtBench { onnx: "a b.onnx".into(), output: "out".into(), batch: BATCH, input: [3, 224, 224], dynamic, fp16 }
    }

    #[test]
    fn half_precision_is_a_flag_up_to_10_only() {
        let old = bench(true, true).arguments(Generation::UpTo10);
        let new = bench(true, true).arguments(Generation::From11);
        assert!(old.contains(&"--fp16".into()) && old.contains(&"--useCudaGraph".into()));
        for removed in ["--fp16", "--useCudaGraph", "--noDataTransfers", "--useSpinWait", "--separateProfileRun"] {
            assert!(!new.contains(&removed.to_string()), "{removed} is gone in TensorRT 11");
        }
        for args in [old, new] {
            assert!(args.contains(&"--shapes=images:32x3x224x224".into()));
            assert!(args.contains(&"--iterations=100".into()) && args.contains(&"--duration=0".into()));
        }
    }

    #[test]
    fn a_static_file_takes_no_shapes() {
        let args = bench(false, false).arguments(Generation::UpTo10);
        assert!(args.iter().all(|a| !a.contains("hapes=")), "{args:?}");
        assert!(!args.contains(&"--fp16".into()));
    }

    #[test]
    fn paths_are_quoted_for_the_shell() {
        assert!(bench(false, false).shell("trtexec", Generation::From11).starts_with("trtexec '--onnx=a b.onnx' --warmUp=500"));
    }
}
