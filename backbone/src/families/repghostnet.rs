//! RepGhostNet (Chen et al., 2022, table 1): GhostNet's layout with thinner middles and RepGhost modules.

use super::make_divisible;
use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{Dropout, Flatten, GhostBottleneck, GhostBottleneckConfig, GlobalPool, HeadConv, Reuse};
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use crate::ops::Activation;
use crate::registry::TapStyle;

/// A row of the paper's table: kernel, middle width, output width, squeeze-excite or not, stride (all widths at 1.0x).
struct Row(i64, f64, f64, bool, i64);

/// Groups of rows: a group of one stride-2 row, then the rest of that resolution, and so on.
const GROUPS: [&[Row]; 9] = [
    &[Row(3, 8.0, 16.0, false, 1)],
    &[Row(3, 24.0, 24.0, false, 2)],
    &[Row(3, 36.0, 24.0, false, 1)],
    &[Row(5, 36.0, 40.0, true, 2)],
    &[Row(5, 60.0, 40.0, true, 1)],
    &[Row(3, 120.0, 80.0, false, 2)],
    &[
        Row(3, 100.0, 80.0, false, 1),
        Row(3, 120.0, 80.0, false, 1),
        Row(3, 120.0, 80.0, false, 1),
        Row(3, 240.0, 112.0, true, 1),
        Row(3, 336.0, 112.0, true, 1),
    ],
    &[Row(5, 336.0, 160.0, true, 2)],
    &[
        Row(5, 480.0, 160.0, false, 1),
        Row(5, 480.0, 160.0, true, 1),
        Row(5, 480.0, 160.0, false, 1),
        Row(5, 480.0, 160.0, true, 1),
    ],
];
const STEM_CHANNELS: f64 = 16.0;
const LAST_CHANNELS: f64 = 2.0 * 480.0;
const HEAD_CHANNELS: i64 = 1280;
const DIVISOR: i64 = 4;

/// Settings of the network.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Channel multiplier; the paper has 0.5, 0.58, 0.8, 1.0, 1.11, 1.3, 1.5 and 2.0.
    pub width: f64,
    /// How ghost modules reuse features; the paper's network has `Add([Bn])`.
    pub reuse: Reuse,
    /// Identity shortcuts.
    pub shortcut: bool,
    /// Squeeze-and-excitation where the table has it.
    pub squeeze_excite: bool,
    /// Classes of the classifier.
    pub classes: i64,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Which blocks a detector taps.
    pub taps: TapStyle,
}

/// Builds the network.
pub fn build(s: &Settings) -> Backbone {
    let scale = |c: f64| make_divisible(c * s.width, DIVISOR);
    let norm = BatchNormConfig::default();
    let mut inputs = scale(STEM_CHANNELS);
    let stem = Conv2d::new(3, inputs, Conv2dConfig::same(3).stride(2));
    let mut body = vec![Node::new("", ConvBn::new(["conv_stem", "bn1"], stem, norm, Activation::Relu))];
    let mut taps = vec![];
    let mut stride = 2;
    for (g, group) in GROUPS.iter().enumerate() {
        for (i, &Row(kernel, middle, outputs, se, step)) in group.iter().enumerate() {
            let middle = scale(middle);
            let config = GhostBottleneckConfig {
                inputs,
                middle,
                outputs: scale(outputs),
                kernel,
                stride: step,
                squeeze: (se && s.squeeze_excite).then(|| make_divisible(middle as f64 * 0.25, DIVISOR)),
                reuse: s.reuse.clone(),
                shortcut: s.shortcut,
                norm,
            };
            inputs = config.outputs;
            stride *= step;
            body.push(Node::new(format!("blocks.{g}.{i}"), GhostBottleneck::new(&config)));
        }
        // Stages end after the even groups from 2 on; timm taps the stride-2 groups, which are the odd ones.
        let tapped = match s.taps {
            TapStyle::StageEnd => g % 2 == 0 && g > 0,
            TapStyle::Timm => g % 2 == 1,
        };
        if tapped {
            taps.push(Tap { level: (stride as u64).trailing_zeros(), channels: inputs, stride, node: body.len() - 1 });
        }
    }
    let last = make_divisible(LAST_CHANNELS * s.width, DIVISOR);
    let last_conv = Conv2d::new(inputs, last, Conv2dConfig::default());
    let tail = vec![
        Node::new("blocks.9.0", ConvBn::new(["conv", "bn1"], last_conv, norm, Activation::Relu)),
        Node::new("", GlobalPool),
        Node::new(
            "conv_head",
            HeadConv {
                conv: Conv2d::new(last, HEAD_CHANNELS, Conv2dConfig::default().with_bias()),
                activation: Activation::Relu,
            },
        ),
        Node::new("", Flatten),
        Node::new("", Dropout(s.dropout)),
        Node::new("classifier", Linear::new(HEAD_CHANNELS, s.classes)),
    ];
    Backbone::new(format!("repghostnet {}x", s.width), body, taps, tail)
}
