//! The layout that GhostNet, GhostNetV2 and RepGhostNet share: a stem, nine groups of bottlenecks, a classifier with a wide 1x1
//! convolution before and after pooling.
//!
//! Each stride-2 block is a group of its own and the rest of its resolution is the next group, as in timm's and the authors' code:
//! so the name of a block is `blocks.GROUP.INDEX`.

use super::make_divisible;
use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{Dropout, Flatten, GhostBottleneck, GhostBottleneckConfig, GlobalPool, HeadConv, Reuse};
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use crate::ops::Activation;
use crate::registry::TapStyle;

/// A row of a paper's table: kernel, middle width, output width, squeeze-excite or not, stride (all widths at 1.0x).
pub struct Row(pub i64, pub f64, pub f64, pub bool, pub i64);

/// Groups of rows: the stride-1 start, then by turns one stride-2 row and the rest of that resolution.
pub type Groups = [&'static [Row]; 9];

const STEM_CHANNELS: f64 = 16.0;
/// Width of the convolution before pooling: GhostNet's last middle width, twice RepGhostNet's.
const LAST_CHANNELS: f64 = 960.0;
const HEAD_CHANNELS: i64 = 1280;
const DIVISOR: i64 = 4;
const SQUEEZE_RATIO: f64 = 0.25;

/// What sets one network of this layout apart.
pub struct Layout<'a> {
    /// Name for people, without the width.
    pub name: &'a str,
    /// The table.
    pub groups: &'a Groups,
    /// Channel multiplier.
    pub width: f64,
    /// How ghost modules reuse features.
    pub reuse: &'a Reuse,
    /// Index of the first block that is gated by axial attention (GhostNetV2); none where that is past the last block.
    pub gated_from: usize,
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

/// Builds the network, with PyTorch's default initial values (the authors of these families changed none).
pub fn build(l: &Layout) -> Backbone {
    let scale = |c: f64| make_divisible(c * l.width, DIVISOR);
    let norm = BatchNormConfig::default();
    let mut inputs = scale(STEM_CHANNELS);
    let stem = Conv2d::new(3, inputs, Conv2dConfig::same(3).stride(2));
    let mut body = vec![Node::new("", ConvBn::new(["conv_stem", "bn1"], stem, norm, Activation::Relu))];
    let mut taps = vec![];
    let mut stride = 2;
    for (g, group) in l.groups.iter().enumerate() {
        for (i, &Row(kernel, middle, outputs, se, step)) in group.iter().enumerate() {
            let middle = scale(middle);
            let config = GhostBottleneckConfig {
                inputs,
                middle,
                outputs: scale(outputs),
                kernel,
                stride: step,
                squeeze: (se && l.squeeze_excite).then(|| make_divisible(middle as f64 * SQUEEZE_RATIO, DIVISOR)),
                reuse: l.reuse.clone(),
                gate: body.len() > l.gated_from,
                shortcut: l.shortcut,
                norm,
            };
            inputs = config.outputs;
            stride *= step;
            body.push(Node::new(format!("blocks.{g}.{i}"), GhostBottleneck::new(&config)));
        }
        // Stages end after the even groups from 2 on; timm taps the stride-2 groups, which are the odd ones.
        let tapped = match l.taps {
            TapStyle::StageEnd => g % 2 == 0 && g > 0,
            TapStyle::Timm => g % 2 == 1,
        };
        if tapped {
            taps.push(Tap::new(inputs, stride, body.len() - 1));
        }
    }
    let last = scale(LAST_CHANNELS);
    let last_conv = Conv2d::new(inputs, last, Conv2dConfig::default());
    let head = Conv2d::new(last, HEAD_CHANNELS, Conv2dConfig::default().with_bias());
    let tail = vec![
        Node::new("blocks.9.0", ConvBn::new(["conv", "bn1"], last_conv, norm, Activation::Relu)),
        Node::new("", GlobalPool),
        Node::new("conv_head", HeadConv { conv: head, activation: Activation::Relu }),
        Node::new("", Flatten),
        Node::new("", Dropout(l.dropout)),
        Node::new("classifier", Linear::new(HEAD_CHANNELS, l.classes)),
    ];
    Backbone::new(format!("{} {}x", l.name, l.width), body, taps, tail)
}
