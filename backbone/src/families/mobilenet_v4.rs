//! MobileNetV4 (Qin et al., 2024), the convolutional networks S, M and L, with timm's names and initial values.

use super::init;
use super::universal::{expanded, Row, Table, HEAD_CHANNELS, LARGE, LAST_CHANNELS, MEDIUM, SMALL};
use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{Dropout, Flatten, GlobalPool, UniversalBottleneck, UniversalBottleneckConfig, UniversalNames};
use crate::config::BackboneConfig;
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use crate::member::{Member, Recognised};
use crate::ops::Activation::{Identity, Relu};
use crate::shapes::Shapes;

const NAMES: UniversalNames = UniversalNames { steps: ["dw_start", "pw_exp", "dw_mid", "pw_proj", "dw_end"], norm: "bn" };

/// MobileNetV4 conv S, M and L.
pub const MEMBERS: &[Member] = &[
    Member::new("mobilenetv4_conv_small", |c, classes| build("mobilenetv4_conv_small", &SMALL, c, classes))
        .recognised_by(|s| recognise(s, &SMALL)),
    Member::new("mobilenetv4_conv_medium", |c, classes| build("mobilenetv4_conv_medium", &MEDIUM, c, classes))
        .recognised_by(|s| recognise(s, &MEDIUM)),
    Member::new("mobilenetv4_conv_large", |c, classes| build("mobilenetv4_conv_large", &LARGE, c, classes))
        .recognised_by(|s| recognise(s, &LARGE)),
];

fn build(name: &str, table: &Table, c: &BackboneConfig, classes: i64) -> Backbone {
    let norm = BatchNormConfig::default();
    let conv = |names, inputs, outputs, kernel, stride, activation| {
        ConvBn::new(names, Conv2d::new(inputs, outputs, Conv2dConfig::same(kernel).stride(stride)), norm, activation)
    };
    let mut body = vec![Node::new("", conv(["conv_stem", "bn1"], 3, table.stem, 3, 2, Relu))];
    let (mut inputs, mut stride, mut taps) = (table.stem, 2, vec![]);
    for (s, rows) in table.stages.iter().enumerate() {
        for (i, row) in rows.iter().enumerate() {
            let path = format!("blocks.{s}.{i}");
            let [outputs, step] = match *row {
                Row::Conv(kernel, step, outputs) => {
                    body.push(Node::new(path, conv(["conv", "bn1"], inputs, outputs, kernel, step, Relu)));
                    [outputs, step]
                }
                Row::Fused(expansion, outputs) => {
                    let middle = expanded(inputs, expansion);
                    body.push(Node::new(path.clone(), conv(["conv_exp", "bn1"], inputs, middle, 3, 2, Relu)));
                    body.push(Node::new(path, conv(["conv_pwl", "bn2"], middle, outputs, 1, 1, Identity)));
                    [outputs, 2]
                }
                Row::Universal(start, middle, step, expansion, outputs) => {
                    let config = UniversalBottleneckConfig {
                        inputs,
                        expanded: expanded(inputs, expansion),
                        outputs,
                        kernels: [start, middle, 0],
                        stride: step,
                        norm,
                        names: NAMES,
                    };
                    body.push(Node::new(path, UniversalBottleneck::new(&config)));
                    [outputs, step]
                }
            };
            inputs = outputs;
            stride *= step;
        }
        taps.push(Tap::new(inputs, stride, body.len() - 1));
    }
    let tail = vec![
        Node::new("blocks.4.0", conv(["conv", "bn1"], inputs, LAST_CHANNELS, 1, 1, Relu)),
        Node::new("", GlobalPool),
        Node::new("", conv(["conv_head", "norm_head"], LAST_CHANNELS, HEAD_CHANNELS, 1, 1, Relu)),
        Node::new("", Flatten),
        Node::new("", Dropout(c.dropout_or(0.0))),
        Node::new("classifier", Linear::new(HEAD_CHANNELS, classes)),
    ];
    let net = Backbone::new(name, body, taps, tail);
    init::efficientnet(&net);
    net
}

/// timm's names; the stem and the number of blocks of stride 16 show the size.
fn recognise(s: &Shapes, table: &Table) -> Option<Recognised> {
    let stem = s.outputs(&["conv_stem.weight"])?;
    let fits = stem == table.stem && s.has(".pw_exp.") && s.count("blocks.2") == table.stages[2].len();
    fits.then(Recognised::default)
}
