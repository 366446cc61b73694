//! The second stage's networks: pooled regions to classes and boxes, and to masks. Names are torchvision's, of both its models.

use repghost_backbone::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, ConvTranspose2d, Linear};
use repghost_backbone::{Activation, Collector, FuseLevel, Module, Ops, Tree};
use tch::Tensor;

use super::config::{BoxHeadConfig, MaskHeadConfig};
use crate::init;

/// Number of the first fully connected layer of a head without convolutions: it follows VGG's five stages.
const FIRST_FC: usize = 6;

/// 3x3 convolutions with ReLU, and batch norm where wanted (`0.0`, `0.1`, `1.0`, …).
fn tower(inputs: i64, widths: &[i64], norm: bool) -> Vec<ConvBn> {
    let before = std::iter::once(inputs).chain(widths.iter().copied());
    before
        .zip(widths)
        .map(|(inputs, outputs)| {
            let conv = Conv2d::new(inputs, *outputs, Conv2dConfig { bias: !norm, ..Conv2dConfig::same(3) });
            init::kaiming_normal_fan_out(&conv.weight);
            if let Some(bias) = &conv.bias {
                init::constant(bias, 0.0);
            }
            let mut layer = ConvBn::new(["0", "1"], conv, BatchNormConfig::default(), Activation::Relu);
            if !norm {
                layer.bn = None;
            }
            layer
        })
        .collect()
}

fn run_tower<O: Ops>(ops: &mut O, tower: &[ConvBn], x: &O::Value) -> O::Value {
    let mut x = if tower.is_empty() { O::share(x) } else { ops.for_convolutions(x) };
    for (i, layer) in tower.iter().enumerate() {
        x = ops.scope(&i.to_string(), |ops| layer.forward(ops, &x));
    }
    x
}

/// Pooled regions to a vector each, and from there to classes and boxes.
#[derive(Debug)]
pub struct BoxHead {
    convs: Vec<ConvBn>,
    fcs: Vec<Linear>,
    cls_score: Linear,
    bbox_pred: Linear,
}

/// Outputs of the box head.
#[derive(Debug)]
pub struct BoxOutputs<V> {
    /// Class logits `[K, outputs]`, background first.
    pub logits: V,
    /// Box offsets `[K, outputs * 4]`, a box for each class.
    pub deltas: V,
}

impl BoxHead {
    /// A head on `channels` channels with `outputs` classes (background included).
    pub fn new(channels: i64, outputs: i64, config: &BoxHeadConfig) -> Self {
        let convs = tower(channels, &config.convs, config.norm);
        let mut width = config.convs.last().copied().unwrap_or(channels) * (config.pool * config.pool) as i64;
        let mut fcs = Vec::with_capacity(config.fcs.len());
        for next in &config.fcs {
            fcs.push(Linear::new(width, *next));
            width = *next;
        }
        Self { convs, fcs, cls_score: Linear::new(width, outputs), bbox_pred: Linear::new(width, outputs * 4) }
    }

    /// Classes and boxes of pooled regions `[K, C, pool, pool]`.
    pub fn forward<O: Ops>(&self, ops: &mut O, pooled: &O::Value) -> BoxOutputs<O::Value> {
        let x = ops.scope("box_head", |ops| {
            let x = run_tower(ops, &self.convs, pooled);
            let mut x = ops.flatten(&x);
            for (i, fc) in self.fcs.iter().enumerate() {
                x = ops.scope(&self.fc_name(i), |ops| {
                    let y = ops.linear(&x, fc);
                    ops.activation(&y, Activation::Relu)
                });
            }
            x
        });
        ops.scope("box_predictor", |ops| BoxOutputs {
            logits: ops.scope("cls_score", |ops| ops.linear(&x, &self.cls_score)),
            deltas: ops.scope("bbox_pred", |ops| ops.linear(&x, &self.bbox_pred)),
        })
    }

    /// True where a batch norm wants at least one region in training.
    pub(super) fn has_norm(&self) -> bool {
        has_norm(&self.convs)
    }

    /// `fc6`, `fc7` in the first model; in the second all layers are one list: convolutions, flatten, then linear and ReLU in turn.
    fn fc_name(&self, i: usize) -> String {
        match self.convs.len() {
            0 => format!("fc{}", FIRST_FC + i),
            convs => (convs + 1 + 2 * i).to_string(),
        }
    }
}

fn has_norm(tower: &[ConvBn]) -> bool {
    tower.iter().any(|layer| layer.bn.is_some())
}

impl Tree for BoxHead {
    fn visit(&self, v: &mut Collector) {
        v.within("box_head", |v| {
            for (i, conv) in self.convs.iter().enumerate() {
                v.child(&i.to_string(), conv);
            }
            for (i, fc) in self.fcs.iter().enumerate() {
                v.child(&self.fc_name(i), fc);
            }
        });
        v.within("box_predictor", |v| {
            v.child("cls_score", &self.cls_score);
            v.child("bbox_pred", &self.bbox_pred);
        });
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.convs.iter_mut().for_each(|c| c.fuse(level));
    }
}

/// Pooled regions to a mask for each class.
#[derive(Debug)]
pub struct MaskHead {
    convs: Vec<ConvBn>,
    conv5_mask: ConvTranspose2d,
    mask_fcn_logits: Conv2d,
}

impl MaskHead {
    /// A head on `channels` channels with `outputs` classes (background included).
    pub fn new(channels: i64, outputs: i64, config: &MaskHeadConfig) -> Self {
        let convs = tower(channels, &config.convs, config.norm);
        let width = config.convs.last().copied().unwrap_or(channels);
        let conv5_mask = ConvTranspose2d::new(width, config.deconv, 2, 2);
        let mask_fcn_logits = Conv2d::new(config.deconv, outputs, Conv2dConfig::default().with_bias());
        init::kaiming_normal_fan_out(&conv5_mask.weight);
        init::kaiming_normal_fan_out(&mask_fcn_logits.weight);
        Self { convs, conv5_mask, mask_fcn_logits }
    }

    /// Mask logits of every class, `[K, outputs, 2 pool, 2 pool]`, of pooled regions `[K, C, pool, pool]`.
    pub fn forward<O: Ops>(&self, ops: &mut O, pooled: &O::Value) -> O::Value {
        let x = self.features(ops, pooled);
        ops.scope("mask_predictor.mask_fcn_logits", |ops| ops.conv2d(&x, &self.mask_fcn_logits))
    }

    /// Mask logits of one class per region, `[K, 2 pool, 2 pool]`. The last convolution is 1x1, so it comes down to one product per region
    /// with the weights of its class: all other classes are neither computed nor held.
    pub fn forward_of<O: Ops<Value = Tensor>>(&self, ops: &mut O, pooled: &Tensor, outputs: &Tensor) -> Tensor {
        let x = self.features(ops, pooled);
        let (k, c, h, w) = x.size4().expect("a mask head's features have four dimensions");
        let last = &self.mask_fcn_logits;
        let weight = last.weight.view([-1, 1, c]).index_select(0, outputs);
        let logits = weight.bmm(&x.reshape([k, c, h * w]));
        let logits = match &last.bias {
            Some(bias) => logits + bias.index_select(0, outputs).view([-1, 1, 1]),
            None => logits,
        };
        logits.view([k, h, w])
    }

    /// True where a batch norm wants at least one region in training.
    pub(super) fn has_norm(&self) -> bool {
        has_norm(&self.convs)
    }

    fn features<O: Ops>(&self, ops: &mut O, pooled: &O::Value) -> O::Value {
        let x = ops.scope("mask_head", |ops| run_tower(ops, &self.convs, pooled));
        let x = ops.scope("mask_predictor.conv5_mask", |ops| ops.conv_transpose2d(&x, &self.conv5_mask));
        ops.scope("mask_predictor.relu", |ops| ops.activation(&x, Activation::Relu))
    }
}

impl Tree for MaskHead {
    fn visit(&self, v: &mut Collector) {
        v.within("mask_head", |v| {
            for (i, conv) in self.convs.iter().enumerate() {
                v.child(&i.to_string(), conv);
            }
        });
        v.within("mask_predictor", |v| {
            v.child("conv5_mask", &self.conv5_mask);
            v.child("mask_fcn_logits", &self.mask_fcn_logits);
        });
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.convs.iter_mut().for_each(|c| c.fuse(level));
    }
}
