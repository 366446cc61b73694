//! The layout that GhostNet, GhostNetV2 and RepGhostNet share: a stem, nine groups of bottlenecks, a classifier with a wide 1x1
//! convolution before and after pooling.
//!
//! Each stride-2 block is a group of its own and the rest of its resolution is the next group, as in timm's and the authors' code:
//! so the name of a block is `blocks.GROUP.INDEX`.

use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{Dropout, Flatten, GhostBottleneck, GhostBottleneckConfig, GlobalPool, HeadConv, Reuse};
use crate::config::{BackboneConfig, TapStyle};
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use crate::member::Recognised;
use crate::ops::Activation;
use crate::rounding::make_divisible;
use crate::shapes::{self, Shapes};

/// A row of a paper's table: kernel, middle width, output width, squeeze-excite or not, stride (all widths at 1.0x).
pub struct Row(pub i64, pub f64, pub f64, pub bool, pub i64);

/// Groups of rows: the stride-1 start, then by turns one stride-2 row and the rest of that resolution.
pub type Groups = [&'static [Row]; 9];

/// Taps of this layout's networks.
pub const TAP_STYLES: &[TapStyle] = &[TapStyle::StageEnd, TapStyle::Timm];

const STEM_CHANNELS: f64 = 16.0;
/// Width of the convolution before pooling: GhostNet's last middle width, twice RepGhostNet's.
const LAST_CHANNELS: f64 = 960.0;
const HEAD_CHANNELS: i64 = 1280;
const DIVISOR: i64 = 4;
const SQUEEZE_RATIO: f64 = 0.25;

/// Dropout before the classifier, as the authors train.
const DROPOUT: f64 = 0.2;

/// What sets one network of this layout apart.
pub struct Layout<'a> {
    /// Name in reports, without the width.
    pub name: &'a str,
    /// The table.
    pub groups: &'a Groups,
    /// How ghost modules reuse features.
    /// `None` for the branched modules of GhostNetV3.
    pub reuse: Option<Reuse>,
    /// Index of the first block that is gated by axial attention (GhostNetV2); none where that is past the last block.
    pub gated_from: usize,
}

/// Builds the network, with PyTorch's default initial values (the authors of these families changed none).
pub fn build(l: &Layout, c: &BackboneConfig, classes: i64) -> Backbone {
    let scale = |channels: f64| make_divisible(channels * c.width, DIVISOR);
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
                squeeze: (se && c.se).then(|| make_divisible(middle as f64 * SQUEEZE_RATIO, DIVISOR)),
                reuse: l.reuse.clone(),
                gate: body.len() > l.gated_from,
                shortcut: c.shortcut,
                norm,
            };
            inputs = config.outputs;
            stride *= step;
            body.push(Node::new(format!("blocks.{g}.{i}"), GhostBottleneck::new(&config)));
        }
        // Stages end after the even groups from 2 on; timm taps the stride-2 groups, which are the odd ones.
        let tapped = match c.taps {
            TapStyle::StageEnd => g % 2 == 0 && g > 0,
            TapStyle::Timm => g % 2 == 1,
            TapStyle::Torchvision => false,
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
        Node::new("", Dropout(c.dropout_or(DROPOUT))),
        Node::new("classifier", Linear::new(HEAD_CHANNELS, classes)),
    ];
    Backbone::new(format!("{} {}x", l.name, c.width), body, taps, tail)
}

/// How the modules of a file's weights reuse features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Added: RepGhostNet.
    Added,
    /// Concatenated: GhostNet.
    Concatenated,
    /// Concatenated, with axial attention: GhostNetV2.
    Gated,
    /// The same with parallel branches, as trained or fused: GhostNetV3.
    Branched,
}

/// Recognises weights of this layout. A RepGhost module's outputs are its primary convolution's; a Ghost module doubles them, which the
/// depthwise convolution behind it shows. With all norms folded, GhostNetV3 *is* GhostNetV2, name by name, and is recognised as that.
pub fn recognise(s: &Shapes, kind: Kind, widths: &[f64]) -> Option<Recognised> {
    let stem = s.outputs(&["conv_stem.weight"])?;
    let first = "blocks.1.0";
    let primary = s.outputs(&[
        &format!("{first}.ghost1.primary_conv.0.weight"),
        &format!("{first}.ghost1.primary_rpr_conv.0.conv.weight"),
    ])?;
    let behind = s.outputs(&[&format!("{first}.conv_dw.weight"), &format!("{first}.dw_rpr_conv.0.conv.weight")])?;
    let deploy = s.has(".primary_conv.0.bias") && s.has(".running_mean");
    let branched = s.has(".primary_rpr_conv.") || deploy && s.has(".short_conv.");
    let found = match (branched, s.has(".short_conv."), primary == behind) {
        (true, _, _) => Kind::Branched,
        (_, true, _) => Kind::Gated,
        (_, _, true) => Kind::Added,
        (_, _, false) => Kind::Concatenated,
    };
    // The projection shortcut's last convolution has the block's output channels, at widths 24, 40, 80 and 160.
    let mut channels = vec![(STEM_CHANNELS, stem)];
    for (group, base) in [(1, 24.0), (3, 40.0), (5, 80.0), (7, 160.0)] {
        let name = format!("blocks.{group}.0.shortcut.2.weight");
        channels.extend(s.outputs(&[&name]).map(|c| (base, c)));
    }
    (found == kind).then(|| Recognised { width: shapes::width(&channels, DIVISOR, widths) })
}
