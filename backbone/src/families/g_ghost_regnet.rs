//! G-Ghost RegNetX (Han et al., 2022, "GhostNets on Heterogeneous Devices via Cheap Operations"): RegNetX (Radosavovic et al., 2020) whose
//! long stages are ghost stages. Names and initial values are the authors'.

use super::init;
use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{Dropout, Flatten, GhostStage, GhostStageConfig, GlobalPool, ResidualBlock, Unit};
use crate::config::BackboneConfig;
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use crate::member::{Member, Recognised};
use crate::ops::Activation::{Identity, Relu};
use crate::shapes::Shapes;

/// A network: name, blocks and output channels per stage, channels per group of the 3x3 convolutions.
struct Variant(&'static str, [usize; 4], [i64; 4], i64);

/// The name holds the multiply-adds of the RegNetX that it is made from, in hundreds of millions.
const X032: Variant = Variant("g_ghost_regnetx_032", [2, 6, 15, 2], [96, 192, 432, 1008], 48);
const X040: Variant = Variant("g_ghost_regnetx_040", [2, 5, 14, 2], [80, 240, 560, 1360], 40);
const X080: Variant = Variant("g_ghost_regnetx_080", [2, 5, 15, 1], [80, 240, 720, 1920], 120);
const X160: Variant = Variant("g_ghost_regnetx_160", [2, 6, 13, 1], [256, 512, 896, 2048], 128);

const STEM_CHANNELS: i64 = 32;
/// Stages of more blocks than this are ghost stages.
const PLAIN_BLOCKS: usize = 2;
const DROPOUT: f64 = 0.2;
const NORM: BatchNormConfig = BatchNormConfig { eps: 1e-5, momentum: 0.1, tracked: true };

/// G-Ghost RegNetX-3.2GF, 4.0GF, 8.0GF and 16GF.
pub const MEMBERS: &[Member] = &[
    Member::new(X032.0, |c, classes| build(&X032, c, classes)).recognised_by(|s| recognise(s, &X032)),
    Member::new(X040.0, |c, classes| build(&X040, c, classes)).recognised_by(|s| recognise(s, &X040)),
    Member::new(X080.0, |c, classes| build(&X080, c, classes)).recognised_by(|s| recognise(s, &X080)),
    Member::new(X160.0, |c, classes| build(&X160, c, classes)).recognised_by(|s| recognise(s, &X160)),
];

fn build(&Variant(name, blocks, widths, group_width): &Variant, c: &BackboneConfig, classes: i64) -> Backbone {
    let stem = Conv2d::new(3, STEM_CHANNELS, Conv2dConfig::same(3).stride(2));
    let mut body = vec![Node::new("", ConvBn::new(["conv1", "bn1"], stem, NORM, Relu))];
    let mut taps = vec![];
    let (mut inputs, mut stride) = (STEM_CHANNELS, 2);
    for (stage, (&n, &outputs)) in blocks.iter().zip(&widths).enumerate() {
        let path = format!("layer{}", stage + 1);
        if n > PLAIN_BLOCKS {
            body.push(Node::new(path, ghost_stage(inputs, outputs, n, group_width)));
        } else {
            body.push(Node::new(format!("{path}.0"), block(inputs, outputs, 2, group_width)));
            body.extend((1..n).map(|i| Node::new(format!("{path}.{i}"), block(outputs, outputs, 1, group_width))));
        }
        inputs = outputs;
        stride *= 2;
        taps.push(Tap::new(inputs, stride, body.len() - 1));
    }
    let tail = vec![
        Node::new("", GlobalPool),
        Node::new("", Flatten),
        Node::new("", Dropout(c.dropout_or(DROPOUT))),
        Node::new("fc", Linear::new(inputs, classes)),
    ];
    let net = Backbone::new(name, body, taps, tail);
    init::kaiming_fan_out(&net);
    net
}

/// RegNet's bottleneck: the middle is as wide as the output, its 3x3 convolution is grouped.
fn block(inputs: i64, outputs: i64, stride: i64, group_width: i64) -> ResidualBlock {
    let unit = |names, conv, activation| Unit::Plain(Box::new(ConvBn::new(names, conv, NORM, activation)));
    let pointwise = |inputs, stride| Conv2d::new(inputs, outputs, Conv2dConfig::default().stride(stride));
    let grouped = Conv2dConfig::same(3).stride(stride).groups(outputs / outputs.min(group_width));
    let units = vec![
        unit(["conv1", "bn1"], pointwise(inputs, 1), Relu),
        unit(["conv2", "bn2"], Conv2d::new(outputs, outputs, grouped), Relu),
        unit(["conv3", "bn3"], pointwise(outputs, 1), Identity),
    ];
    let projects = stride != 1 || inputs != outputs;
    let shortcut = projects.then(|| unit(["downsample.0", "downsample.1"], pointwise(inputs, stride), Identity));
    ResidualBlock::new(units, shortcut)
}

/// A ghost stage whose layers have about half of the channels, in groups of three quarters of the usual width.
fn ghost_stage(inputs: i64, outputs: i64, blocks: usize, group_width: i64) -> GhostStage {
    let narrow = group_width * 3 / 4;
    let raw = outputs / 2 / narrow * narrow;
    GhostStage::new(GhostStageConfig {
        base: block(inputs, outputs, 2, group_width),
        layers: (0..blocks - 2).map(|_| block(raw, raw, 1, narrow)).collect(),
        end: block(outputs, outputs, 1, group_width),
        raw,
        cheap: outputs - raw,
        norm: NORM,
    })
}

/// The authors' names: the layers of the third stage and the channels of the last.
fn recognise(s: &Shapes, &Variant(_, blocks, widths, _): &Variant) -> Option<Recognised> {
    let last = s.outputs(&["layer4.0.conv3.weight"])?;
    let fits = last == widths[3] && s.has("layer3.merge.") && s.count("layer3.layers") == blocks[2] - 2;
    fits.then(Recognised::default)
}
