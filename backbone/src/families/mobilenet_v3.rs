//! MobileNetV3 large and small (Howard et al., 2019, tables 1 and 2), with torchvision's names.
//!
//! torchvision's batch norms have eps 1e-3 and momentum 0.01 here. timm's files of the same network were trained with eps 1e-5 (key
//! `norm_eps`); with torchvision's they would load and give slightly different outputs.

use super::init;
use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{Act, Dropout, Flatten, GlobalPool, InvertedNames, InvertedResidual, InvertedResidualConfig};
use crate::config::{BackboneConfig, NormKind, TapStyle};
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use crate::member::{Member, Recognised};
use crate::ops::Activation::{self, HardSwish, Relu};
use crate::rounding::make_divisible;
use crate::shapes::{self, Shapes};

/// Kernel, expanded width, output width (at 1.0x), squeeze-excite or not, activation, stride.
struct Row(i64, f64, f64, bool, Activation, i64);

const LARGE: [Row; 15] = [
    Row(3, 16.0, 16.0, false, Relu, 1),
    Row(3, 64.0, 24.0, false, Relu, 2),
    Row(3, 72.0, 24.0, false, Relu, 1),
    Row(5, 72.0, 40.0, true, Relu, 2),
    Row(5, 120.0, 40.0, true, Relu, 1),
    Row(5, 120.0, 40.0, true, Relu, 1),
    Row(3, 240.0, 80.0, false, HardSwish, 2),
    Row(3, 200.0, 80.0, false, HardSwish, 1),
    Row(3, 184.0, 80.0, false, HardSwish, 1),
    Row(3, 184.0, 80.0, false, HardSwish, 1),
    Row(3, 480.0, 112.0, true, HardSwish, 1),
    Row(3, 672.0, 112.0, true, HardSwish, 1),
    Row(5, 672.0, 160.0, true, HardSwish, 2),
    Row(5, 960.0, 160.0, true, HardSwish, 1),
    Row(5, 960.0, 160.0, true, HardSwish, 1),
];

const SMALL: [Row; 11] = [
    Row(3, 16.0, 16.0, true, Relu, 2),
    Row(3, 72.0, 24.0, false, Relu, 2),
    Row(3, 88.0, 24.0, false, Relu, 1),
    Row(5, 96.0, 40.0, true, HardSwish, 2),
    Row(5, 240.0, 40.0, true, HardSwish, 1),
    Row(5, 240.0, 40.0, true, HardSwish, 1),
    Row(5, 120.0, 48.0, true, HardSwish, 1),
    Row(5, 144.0, 48.0, true, HardSwish, 1),
    Row(5, 288.0, 96.0, true, HardSwish, 2),
    Row(5, 576.0, 96.0, true, HardSwish, 1),
    Row(5, 576.0, 96.0, true, HardSwish, 1),
];

const STEM_CHANNELS: f64 = 16.0;
/// The convolution before pooling has this many times the last block's channels.
const LAST_EXPANSION: i64 = 6;
const DIVISOR: i64 = 8;
const SQUEEZE_DIVIDER: i64 = 4;
const NORM: BatchNormConfig = BatchNormConfig { eps: 1e-3, momentum: 0.01, tracked: true };
const TAP_STYLES: &[TapStyle] = &[TapStyle::StageEnd, TapStyle::Torchvision];
/// Nothing finer than this is tapped.
const FIRST_TAP_STRIDE: i64 = 4;
/// Stride of the last stage.
const LAST_STRIDE: i64 = 32;

const DROPOUT: f64 = 0.2;
/// Widths of published weights.
const WIDTHS: &[f64] = &[1.0, 0.75, 0.5];

/// What sets one of the two networks apart.
struct Size {
    name: &'static str,
    rows: &'static [Row],
    /// Width of the classifier's hidden layer.
    hidden: f64,
    /// Output width of the last block.
    last: f64,
}

/// 5.5 M parameters at 1.0x.
const LARGE_SIZE: Size = Size { name: "mobilenet_v3_large", rows: &LARGE, hidden: 1280.0, last: 160.0 };
/// 2.5 M parameters at 1.0x.
const SMALL_SIZE: Size = Size { name: "mobilenet_v3_small", rows: &SMALL, hidden: 1024.0, last: 96.0 };

/// The large and the small network at every width.
pub const MEMBERS: &[Member] = &[
    Member::new(LARGE_SIZE.name, |c, classes| build(&LARGE_SIZE, c, classes))
        .keys(&["width", "norm", "norm_eps"])
        .taps(TAP_STYLES)
        .recognised_by(|s| recognise(s, &LARGE_SIZE)),
    Member::new(SMALL_SIZE.name, |c, classes| build(&SMALL_SIZE, c, classes))
        .keys(&["width", "norm", "norm_eps"])
        .taps(TAP_STYLES)
        .recognised_by(|s| recognise(s, &SMALL_SIZE)),
];

fn build(size: &Size, c: &BackboneConfig, classes: i64) -> Backbone {
    let (rows, width) = (size.rows, c.width);
    // torchvision passes its detectors FrozenBatchNorm2d, which has an eps of its own.
    let norm = match c.norm {
        NormKind::Batch => BatchNormConfig { eps: c.norm_eps.unwrap_or(NORM.eps), ..NORM },
        NormKind::Frozen => c.batch_norm(),
    };
    let scale = |channels: f64| make_divisible(channels * width, DIVISOR);
    let mut inputs = scale(STEM_CHANNELS);
    let stem = Conv2d::new(3, inputs, Conv2dConfig::same(3).stride(2));
    let mut body = vec![Node::new("features.0", ConvBn::new(["0", "1"], stem, norm, HardSwish))];
    let mut taps = vec![];
    let mut stride = 2;
    for (r, &Row(kernel, expanded, outputs, se, activation, step)) in rows.iter().enumerate() {
        let expanded = scale(expanded);
        let config = InvertedResidualConfig {
            inputs,
            expanded,
            outputs: scale(outputs),
            kernel,
            stride: step,
            squeeze: se.then(|| make_divisible((expanded / SQUEEZE_DIVIDER) as f64, DIVISOR)),
            activation,
            norm,
            names: InvertedNames::V3,
        };
        inputs = config.outputs;
        stride *= step;
        body.push(Node::new(format!("features.{}", body.len()), InvertedResidual::new(&config)));
        let ends_stage = rows.get(r + 1).is_none_or(|next| next.5 > 1);
        let tapped = match c.taps {
            TapStyle::Torchvision => step > 1 && stride == LAST_STRIDE,
            _ => ends_stage && stride >= FIRST_TAP_STRIDE,
        };
        if tapped {
            taps.push(Tap::new(inputs, stride, body.len() - 1));
        }
    }
    let last = LAST_EXPANSION * inputs;
    let hidden = scale(size.hidden);
    let last_conv = Conv2d::new(inputs, last, Conv2dConfig::default());
    let last_conv = Node::new(format!("features.{}", body.len()), ConvBn::new(["0", "1"], last_conv, norm, HardSwish));
    let mut tail = vec![
        Node::new("", GlobalPool),
        Node::new("", Flatten),
        Node::new("classifier.0", Linear::new(last, hidden)),
        Node::new("", Act(HardSwish)),
        Node::new("", Dropout(c.dropout_or(DROPOUT))),
        Node::new("classifier.3", Linear::new(hidden, classes)),
    ];
    match c.taps {
        TapStyle::Torchvision => {
            taps.push(Tap::new(last, stride, body.len()));
            body.push(last_conv);
        }
        _ => tail.insert(0, last_conv),
    }
    let net = Backbone::new(format!("{} {width}x", size.name), body, taps, tail);
    init::kaiming_fan_out(&net);
    init::small_linear_zero_bias(&net);
    net
}

/// torchvision's names with gates; the number of blocks shows the size, the last block's projection the width.
fn recognise(s: &Shapes, size: &Size) -> Option<Recognised> {
    let stem = s.outputs(&["features.0.0.weight"])?;
    let blocks = size.rows.len();
    let last = s.outputs(&[&format!("features.{blocks}.block.3.0.weight")])?;
    let behind = s.has(&format!("features.{}.block.", blocks + 1));
    let width = shapes::width(&[(STEM_CHANNELS, stem), (size.last, last)], DIVISOR, WIDTHS);
    (!behind && s.has(".fc1.")).then_some(Recognised { width })
}
