//! RepGhostNetV2 (Chen, 2024; no paper): MobileNetV4's convolutional networks with their depthwise convolutions moved.
//!
//! Only the first universal bottleneck keeps the depthwise convolution at its start; that of every later block stands at the end of the
//! block before. So there are as many parameters and multiply-adds as in MobileNetV4, but the sums come behind the convolution. Names
//! are the authors'; initial values PyTorch's defaults, as in their code. No weights were published.

use super::universal::{expanded, Row, Table, HEAD_CHANNELS, LARGE, LAST_CHANNELS, MEDIUM, SMALL};
use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{Dropout, Flatten, GlobalPool, HeadConv, UniversalBottleneck, UniversalBottleneckConfig, UniversalNames};
use crate::config::BackboneConfig;
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use crate::member::{Member, Recognised};
use crate::ops::Activation::{Identity, Relu};
use crate::shapes::Shapes;

const NAMES: UniversalNames =
    UniversalNames { steps: ["start_dw_", "expand_conv", "middle_dw", "proj_conv", "end_dw"], norm: "bn1" };
/// As the authors train.
const DROPOUT: f64 = 0.2;

/// RepGhostNetV2 S, M and L.
pub const MEMBERS: &[Member] = &[
    Member::new("repghostnetv2_small", |c, classes| build("repghostnetv2_small", &SMALL, c, classes))
        .recognised_by(|s| recognise(s, &SMALL)),
    Member::new("repghostnetv2_medium", |c, classes| build("repghostnetv2_medium", &MEDIUM, c, classes))
        .recognised_by(|s| recognise(s, &MEDIUM)),
    Member::new("repghostnetv2_large", |c, classes| build("repghostnetv2_large", &LARGE, c, classes))
        .recognised_by(|s| recognise(s, &LARGE)),
];

fn build(name: &str, table: &Table, c: &BackboneConfig, classes: i64) -> Backbone {
    let norm = BatchNormConfig::default();
    let conv = |inputs, outputs, kernel, stride, activation| {
        let geometry = Conv2dConfig::same(kernel).stride(stride);
        ConvBn::new(["conv", "bn1"], Conv2d::new(inputs, outputs, geometry), norm, activation)
    };
    let mut body = vec![Node::new("layers.0", conv(3, table.stem, 3, 2, Relu))];
    let mut taps = vec![];
    let (mut inputs, mut stride) = (table.stem, 2);
    let starts = start_kernels(table);
    let mut universal = 0;
    for rows in table.stages {
        for row in rows {
            let path = |body: &[Node]| format!("layers.{}", body.len());
            let [outputs, step] = match *row {
                Row::Conv(kernel, step, outputs) => {
                    // The 1x1 convolutions behind a stride-2 one are linear.
                    let activation = if kernel > 1 { Relu } else { Identity };
                    body.push(Node::new(path(&body), conv(inputs, outputs, kernel, step, activation)));
                    [outputs, step]
                }
                Row::Fused(expansion, outputs) => {
                    let middle = expanded(inputs, expansion);
                    body.push(Node::new(path(&body), conv(inputs, middle, 3, 2, Relu)));
                    body.push(Node::new(path(&body), conv(middle, outputs, 1, 1, Identity)));
                    [outputs, 2]
                }
                Row::Universal(start, middle, step, expansion, outputs) => {
                    let config = UniversalBottleneckConfig {
                        inputs,
                        expanded: expanded(inputs, expansion),
                        outputs,
                        kernels: [
                            if universal == 0 { start } else { 0 },
                            middle,
                            starts.get(universal + 1).copied().unwrap_or(0),
                        ],
                        stride: step,
                        norm,
                        names: NAMES,
                    };
                    universal += 1;
                    body.push(Node::new(path(&body), UniversalBottleneck::new(&config)));
                    [outputs, step]
                }
            };
            inputs = outputs;
            stride *= step;
        }
        taps.push(Tap::new(inputs, stride, body.len() - 1));
    }
    let head = Conv2d::new(LAST_CHANNELS, HEAD_CHANNELS, Conv2dConfig::default().with_bias());
    let tail = vec![
        Node::new(format!("layers.{}", body.len()), conv(inputs, LAST_CHANNELS, 1, 1, Relu)),
        Node::new("", GlobalPool),
        Node::new("conv_head", HeadConv { conv: head, activation: Relu }),
        Node::new("", Flatten),
        Node::new("", Dropout(c.dropout_or(DROPOUT))),
        Node::new("classifier", Linear::new(HEAD_CHANNELS, classes)),
    ];
    Backbone::new(name, body, taps, tail)
}

/// Start kernels of all universal bottlenecks, in order.
fn start_kernels(table: &Table) -> Vec<i64> {
    let rows = table.stages.iter().flat_map(|rows| rows.iter());
    rows.filter_map(|row| if let Row::Universal(start, ..) = row { Some(*start) } else { None }).collect()
}

/// The authors' names; the stem and the number of bottlenecks show the size.
fn recognise(s: &Shapes, table: &Table) -> Option<Recognised> {
    let stem = s.outputs(&["layers.0.conv.weight"])?;
    let bottlenecks = (0..s.count("layers")).filter(|i| s.has(&format!("layers.{i}.expand_conv."))).count();
    (stem == table.stem && bottlenecks == start_kernels(table).len()).then(Recognised::default)
}
