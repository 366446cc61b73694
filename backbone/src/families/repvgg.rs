//! RepVGG (Ding et al., 2021, table 2): a plain stack of 3x3 convolutions for inference, three branches in training.
//!
//! Names are timm's; initial values PyTorch's defaults, as in the authors' code (timm draws the scales of its norms from
//! `N(0.1, 0.1^2)` instead).

use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{BranchNames, Dropout, Flatten, GlobalPool, MultiBranch, MultiBranchConfig};
use crate::layers::{BatchNormConfig, Linear};

const BASE_CHANNELS: [f64; 4] = [64.0, 128.0, 256.0, 512.0];
const STEM_LIMIT: i64 = 64;
const KERNEL: i64 = 3;

/// Which network of the paper's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// 8.3 M parameters fused.
    A0,
    /// 12.8 M.
    A1,
    /// 25.5 M.
    A2,
    /// 14.3 M.
    B0,
}

/// Builds the network.
pub fn build(variant: Variant, classes: i64, dropout: f64) -> Backbone {
    const SHALLOW: [usize; 4] = [2, 4, 14, 1];
    const DEEP: [usize; 4] = [4, 6, 16, 1];
    let (name, repeats, widths) = match variant {
        Variant::A0 => ("repvgg_a0", SHALLOW, [0.75, 0.75, 0.75, 2.5]),
        Variant::A1 => ("repvgg_a1", SHALLOW, [1.0, 1.0, 1.0, 2.5]),
        Variant::A2 => ("repvgg_a2", SHALLOW, [1.5, 1.5, 1.5, 2.75]),
        Variant::B0 => ("repvgg_b0", DEEP, [1.0, 1.0, 1.0, 2.5]),
    };
    let channels = |stage: usize| (BASE_CHANNELS[stage] * widths[stage]) as i64;
    let mut inputs = channels(0).min(STEM_LIMIT);
    let mut body = vec![Node::new("stem", block(3, inputs, 2))];
    let mut taps = vec![];
    let mut stride = 2;
    for (stage, &n) in repeats.iter().enumerate() {
        for i in 0..n {
            let step = if i == 0 { 2 } else { 1 };
            body.push(Node::new(format!("stages.{stage}.{i}"), block(inputs, channels(stage), step)));
            inputs = channels(stage);
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

fn block(inputs: i64, outputs: i64, stride: i64) -> MultiBranch {
    MultiBranch::new(&MultiBranchConfig {
        inputs,
        outputs,
        kernel: KERNEL,
        stride,
        groups: 1,
        branches: 1,
        squeeze: None,
        norm: BatchNormConfig::default(),
        names: BranchNames::RepVgg,
    })
}
