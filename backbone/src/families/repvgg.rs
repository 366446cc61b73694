//! RepVGG (Ding et al., 2021, table 2): a plain stack of 3x3 convolutions for inference, three branches in training.
//!
//! Names are timm's; initial values PyTorch's defaults, as in the authors' code (timm draws the scales of its norms from
//! `N(0.1, 0.1^2)` instead).

use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{BranchNames, Dropout, Flatten, GlobalPool, MultiBranch, MultiBranchConfig};
use crate::config::BackboneConfig;
use crate::layers::{BatchNormConfig, Linear};
use crate::member::{Member, Recognised};
use crate::shapes::Shapes;

const BASE_CHANNELS: [f64; 4] = [64.0, 128.0, 256.0, 512.0];
const STEM_LIMIT: i64 = 64;
const KERNEL: i64 = 3;

/// A row of the paper's table: name, blocks and channel multiplier per stage.
struct Variant(&'static str, [usize; 4], [f64; 4]);

/// 8.3 M parameters fused.
const A0: Variant = Variant("repvgg_a0", [2, 4, 14, 1], [0.75, 0.75, 0.75, 2.5]);
/// 12.8 M.
const A1: Variant = Variant("repvgg_a1", [2, 4, 14, 1], [1.0, 1.0, 1.0, 2.5]);
/// 25.5 M.
const A2: Variant = Variant("repvgg_a2", [2, 4, 14, 1], [1.5, 1.5, 1.5, 2.75]);
/// 14.3 M.
const B0: Variant = Variant("repvgg_b0", [4, 6, 16, 1], [1.0, 1.0, 1.0, 2.5]);

/// RepVGG A0, A1, A2 and B0.
pub const MEMBERS: &[Member] = &[
    Member::new(A0.0, |c, classes| build(&A0, c, classes)).recognised_by(|s| recognise(s, &A0)),
    Member::new(A1.0, |c, classes| build(&A1, c, classes)).recognised_by(|s| recognise(s, &A1)),
    Member::new(A2.0, |c, classes| build(&A2, c, classes)).recognised_by(|s| recognise(s, &A2)),
    Member::new(B0.0, |c, classes| build(&B0, c, classes)).recognised_by(|s| recognise(s, &B0)),
];

fn build(variant: &Variant, c: &BackboneConfig, classes: i64) -> Backbone {
    let Variant(name, repeats, widths) = variant;
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
        Node::new("", Dropout(c.dropout_or(0.0))),
        Node::new("head.fc", Linear::new(inputs, classes)),
    ];
    Backbone::new(*name, body, taps, tail)
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

/// timm's names, trained or fused. MobileOne shares the fused ones; its first block is depthwise.
fn recognise(s: &Shapes, &Variant(_, repeats, widths): &Variant) -> Option<Recognised> {
    let first = s.shape(&["stages.0.0.conv_kxk.conv.weight", "stages.0.0.reparam_conv.weight"])?;
    let outputs = (BASE_CHANNELS[0] * widths[0]) as i64;
    let fits = first[0] == outputs && first.get(1) != Some(&1) && s.count("stages.0") == repeats[0];
    fits.then(Recognised::default)
}
