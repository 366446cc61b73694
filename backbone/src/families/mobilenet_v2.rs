//! MobileNetV2 (Sandler et al., 2018, table 2), with torchvision's names.

use super::init;
use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{Dropout, Flatten, GlobalPool, InvertedNames, InvertedResidual, InvertedResidualConfig};
use crate::config::BackboneConfig;
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use crate::member::{Member, Recognised};
use crate::ops::Activation;
use crate::rounding::make_divisible;
use crate::shapes::{self, Shapes};

/// Expansion, output width at 1.0x, number of blocks, stride of the first of them.
struct Row(i64, f64, usize, i64);

const ROWS: [Row; 7] = [
    Row(1, 16.0, 1, 1),
    Row(6, 24.0, 2, 2),
    Row(6, 32.0, 3, 2),
    Row(6, 64.0, 4, 2),
    Row(6, 96.0, 3, 1),
    Row(6, 160.0, 3, 2),
    Row(6, 320.0, 1, 1),
];
/// Rows that end a stage, from C2 on: the next row has stride 2, or there is none.
const STAGE_ENDS: [usize; 4] = [1, 2, 4, 6];
const STEM_CHANNELS: f64 = 32.0;
const LAST_CHANNELS: f64 = 1280.0;
const DIVISOR: i64 = 8;
const KERNEL: i64 = 3;

const DROPOUT: f64 = 0.2;
/// Widths of published weights.
const WIDTHS: &[f64] = &[1.0, 0.75, 0.5, 0.35, 1.4];

/// The network at every width.
pub const MEMBERS: &[Member] = &[Member::new("mobilenet_v2", build).keys(&["width"]).recognised_by(recognise)];

/// Builds the network. The width scales all channels but, below 1, not the last convolution.
fn build(c: &BackboneConfig, classes: i64) -> Backbone {
    let width = c.width;
    let scale = |c: f64| make_divisible(c * width, DIVISOR);
    let norm = BatchNormConfig::default();
    let activation = Activation::Relu6;
    let mut inputs = scale(STEM_CHANNELS);
    let stem = Conv2d::new(3, inputs, Conv2dConfig::same(KERNEL).stride(2));
    let mut body = vec![Node::new("features.0", ConvBn::new(["0", "1"], stem, norm, activation))];
    let mut taps = vec![];
    let mut stride = 2;
    for (r, &Row(expansion, outputs, repeats, step)) in ROWS.iter().enumerate() {
        for i in 0..repeats {
            let config = InvertedResidualConfig {
                inputs,
                expanded: inputs * expansion,
                outputs: scale(outputs),
                kernel: KERNEL,
                stride: if i == 0 { step } else { 1 },
                squeeze: None,
                activation,
                norm,
                names: InvertedNames::V2,
            };
            inputs = config.outputs;
            stride *= config.stride;
            body.push(Node::new(format!("features.{}", body.len()), InvertedResidual::new(&config)));
        }
        if STAGE_ENDS.contains(&r) {
            taps.push(Tap::new(inputs, stride, body.len() - 1));
        }
    }
    let last = make_divisible(LAST_CHANNELS * width.max(1.0), DIVISOR);
    let last_conv = Conv2d::new(inputs, last, Conv2dConfig::default());
    let tail = vec![
        Node::new(format!("features.{}", body.len()), ConvBn::new(["0", "1"], last_conv, norm, activation)),
        Node::new("", GlobalPool),
        Node::new("", Flatten),
        Node::new("", Dropout(c.dropout_or(DROPOUT))),
        Node::new("classifier.1", Linear::new(last, classes)),
    ];
    let net = Backbone::new(format!("mobilenet_v2 {width}x"), body, taps, tail);
    init::kaiming_fan_out(&net);
    init::small_linear_zero_bias(&net);
    net
}

/// torchvision's names, without gates and with more blocks than MobileNetV3. The last block's projection shows the width.
fn recognise(s: &Shapes) -> Option<Recognised> {
    const LAST: (usize, f64) = (17, 320.0);
    let stem = s.outputs(&["features.0.0.weight"])?;
    let last = s.outputs(&[&format!("features.{}.conv.2.weight", LAST.0)])?;
    let width = shapes::width(&[(STEM_CHANNELS, stem), (LAST.1, last)], DIVISOR, WIDTHS);
    (!s.has(".fc1.")).then_some(Recognised { width })
}
