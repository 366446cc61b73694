//! MobileOne (Vasu et al., 2023, table 2): MobileNetV1's stack of depthwise and pointwise convolutions, each with parallel branches
//! in training.
//!
//! Names are timm's; initial values PyTorch's defaults, as in the authors' code.

use super::make_divisible;
use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{BranchNames, Dropout, Flatten, GlobalPool, MultiBranch, MultiBranchConfig};
use crate::layers::{BatchNormConfig, Linear};

const BASE_CHANNELS: [f64; 4] = [64.0, 128.0, 256.0, 512.0];
/// Units (a depthwise and a pointwise block) a stage.
const UNITS: [usize; 4] = [2, 8, 10, 1];
const STEM_LIMIT: i64 = 64;
const DEPTHWISE_KERNEL: i64 = 3;
const SQUEEZE_RATIO: f64 = 1.0 / 16.0;
const SQUEEZE_DIVISOR: i64 = 8;

/// Which network of the paper's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// 2.1 M parameters fused; four main branches in training, the others have one.
    S0,
    /// 4.8 M.
    S1,
    /// 7.8 M.
    S2,
    /// 10.1 M.
    S3,
    /// 14.8 M; squeeze-and-excitation in the last units of stage 3 and in stage 4.
    S4,
}

/// Builds the network.
pub fn build(variant: Variant, classes: i64, dropout: f64) -> Backbone {
    let (name, widths, branches, squeezed) = match variant {
        Variant::S0 => ("mobileone_s0", [0.75, 1.0, 1.0, 2.0], 4, [0; 4]),
        Variant::S1 => ("mobileone_s1", [1.5, 1.5, 2.0, 2.5], 1, [0; 4]),
        Variant::S2 => ("mobileone_s2", [1.5, 2.0, 2.5, 4.0], 1, [0; 4]),
        Variant::S3 => ("mobileone_s3", [2.0, 2.5, 3.0, 4.0], 1, [0; 4]),
        Variant::S4 => ("mobileone_s4", [3.0, 3.5, 3.5, 4.0], 1, [0, 0, 5, 1]),
    };
    let base = MultiBranchConfig {
        inputs: 3,
        outputs: ((BASE_CHANNELS[0] * widths[0]) as i64).min(STEM_LIMIT),
        kernel: DEPTHWISE_KERNEL,
        stride: 2,
        groups: 1,
        branches: 1,
        squeeze: None,
        norm: BatchNormConfig::default(),
        names: BranchNames::MobileOne,
    };
    let mut inputs = base.outputs;
    let mut body = vec![Node::new("stem", MultiBranch::new(&base))];
    let mut taps = vec![];
    let mut stride = 2;
    for (stage, &units) in UNITS.iter().enumerate() {
        let outputs = (BASE_CHANNELS[stage] * widths[stage]) as i64;
        for unit in 0..units {
            let gated = unit >= units - squeezed[stage];
            let squeeze = |c: i64| gated.then(|| make_divisible(c as f64 * SQUEEZE_RATIO, SQUEEZE_DIVISOR));
            let step = if unit == 0 { 2 } else { 1 };
            let depthwise = MultiBranchConfig {
                inputs,
                outputs: inputs,
                stride: step,
                groups: inputs,
                branches,
                squeeze: squeeze(inputs),
                ..base.clone()
            };
            let pointwise =
                MultiBranchConfig { inputs, outputs, kernel: 1, stride: 1, branches, squeeze: squeeze(outputs), ..base.clone() };
            for (i, config) in [depthwise, pointwise].iter().enumerate() {
                body.push(Node::new(format!("stages.{stage}.{}", 2 * unit + i), MultiBranch::new(config)));
            }
            inputs = outputs;
            stride *= step;
        }
        taps.push(Tap::new(inputs, stride, body.len() - 1));
    }
    let tail = vec![
        Node::new("", GlobalPool),
        Node::new("", Flatten),
        Node::new("", Dropout(dropout)),
        Node::new("head.fc", Linear::new(inputs, classes)),
    ];
    Backbone::new(name, body, taps, tail)
}
