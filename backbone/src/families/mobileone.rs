//! MobileOne (Vasu et al., 2023, table 2): MobileNetV1's stack of depthwise and pointwise convolutions, each with parallel branches
//! in training.
//!
//! Names are timm's; initial values PyTorch's defaults, as in the authors' code.

use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{BranchNames, Dropout, Flatten, GlobalPool, MultiBranch, MultiBranchConfig};
use crate::config::BackboneConfig;
use crate::layers::{BatchNormConfig, Linear};
use crate::member::{Member, Recognised};
use crate::rounding::make_divisible;
use crate::shapes::Shapes;

const BASE_CHANNELS: [f64; 4] = [64.0, 128.0, 256.0, 512.0];
/// Units (a depthwise and a pointwise block) per stage.
const UNITS: [usize; 4] = [2, 8, 10, 1];
const STEM_LIMIT: i64 = 64;
const DEPTHWISE_KERNEL: i64 = 3;
const SQUEEZE_RATIO: f64 = 1.0 / 16.0;
const SQUEEZE_DIVISOR: i64 = 8;

/// A row of the paper's table.
struct Variant {
    name: &'static str,
    /// Channel multiplier per stage.
    widths: [f64; 4],
    /// Main branches in training.
    branches: usize,
    /// Last units of each stage with squeeze-and-excitation.
    squeezed: [usize; 4],
}

/// 2.1 M parameters fused.
const S0: Variant = Variant { name: "mobileone_s0", widths: [0.75, 1.0, 1.0, 2.0], branches: 4, squeezed: [0; 4] };
/// 4.8 M.
const S1: Variant = Variant { name: "mobileone_s1", widths: [1.5, 1.5, 2.0, 2.5], branches: 1, squeezed: [0; 4] };
/// 7.8 M.
const S2: Variant = Variant { name: "mobileone_s2", widths: [1.5, 2.0, 2.5, 4.0], branches: 1, squeezed: [0; 4] };
/// 10.1 M.
const S3: Variant = Variant { name: "mobileone_s3", widths: [2.0, 2.5, 3.0, 4.0], branches: 1, squeezed: [0; 4] };
/// 14.8 M.
const S4: Variant = Variant { name: "mobileone_s4", widths: [3.0, 3.5, 3.5, 4.0], branches: 1, squeezed: [0, 0, 5, 1] };

/// MobileOne S0 to S4.
pub const MEMBERS: &[Member] = &[
    Member::new(S0.name, |c, classes| build(&S0, c, classes)).recognised_by(|s| recognise(s, &S0)),
    Member::new(S1.name, |c, classes| build(&S1, c, classes)).recognised_by(|s| recognise(s, &S1)),
    Member::new(S2.name, |c, classes| build(&S2, c, classes)).recognised_by(|s| recognise(s, &S2)),
    Member::new(S3.name, |c, classes| build(&S3, c, classes)).recognised_by(|s| recognise(s, &S3)),
    Member::new(S4.name, |c, classes| build(&S4, c, classes)).recognised_by(|s| recognise(s, &S4)),
];

fn build(v: &Variant, c: &BackboneConfig, classes: i64) -> Backbone {
    let (widths, branches) = (v.widths, v.branches);
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
            let gated = unit >= units - v.squeezed[stage];
            let squeeze = |channels: i64| gated.then(|| make_divisible(channels as f64 * SQUEEZE_RATIO, SQUEEZE_DIVISOR));
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
        Node::new("", Dropout(c.dropout_or(0.0))),
        Node::new("head.fc", Linear::new(inputs, classes)),
    ];
    Backbone::new(v.name, body, taps, tail)
}

/// timm's names, trained or fused: a depthwise block first, and the pointwise blocks' channels.
fn recognise(s: &Shapes, v: &Variant) -> Option<Recognised> {
    let block = |name: &str| s.shape(&[&format!("{name}.conv_kxk.0.conv.weight"), &format!("{name}.reparam_conv.weight")]);
    let depthwise = block("stages.0.0")?.get(1) == Some(&1);
    let fits = (0..4).all(|stage| {
        let outputs = (BASE_CHANNELS[stage] * v.widths[stage]) as i64;
        block(&format!("stages.{stage}.1")).and_then(|shape| shape.first()) == Some(&outputs)
    });
    (depthwise && fits).then(Recognised::default)
}
