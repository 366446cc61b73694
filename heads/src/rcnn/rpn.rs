//! The region proposal network (Ren et al., Faster R-CNN, 2015): objectness and box offsets at every anchor.

use repghost_backbone::layers::{Conv2d, Conv2dConfig};
use repghost_backbone::{Activation, Collector, Ops, Tree};

use crate::init;

/// Standard deviation of initial weights.
const INIT_STD: f64 = 0.01;

/// Outputs of the network, all pyramid levels one after another (fine to coarse).
#[derive(Debug)]
pub struct RpnOutputs<V> {
    /// Objectness logits `[N, A, 1]`.
    pub logits: V,
    /// Box offsets `[N, A, 4]`.
    pub deltas: V,
}

/// Convolutions shared by all levels. Names are torchvision's (`conv.0.0`, `cls_logits`, `bbox_pred`).
#[derive(Debug)]
pub struct RpnHead {
    convs: Vec<Conv2d>,
    cls_logits: Conv2d,
    bbox_pred: Conv2d,
}

impl RpnHead {
    /// A head on `channels` channels with `anchors` anchors at each position.
    pub fn new(channels: i64, anchors: i64, depth: usize) -> Self {
        let conv = |outputs: i64, kernel: i64| {
            let conv = Conv2d::new(channels, outputs, Conv2dConfig::same(kernel).with_bias());
            init::normal(&conv, INIT_STD, 0.0);
            conv
        };
        Self {
            convs: (0..depth).map(|_| conv(channels, 3)).collect(),
            cls_logits: conv(anchors, 1),
            bbox_pred: conv(anchors * 4, 1),
        }
    }

    /// Outputs of all levels, joined.
    pub fn forward<O: Ops>(&self, ops: &mut O, pyramid: &[O::Value]) -> RpnOutputs<O::Value> {
        let levels = ops.levels(pyramid, |ops, levels| {
            let mut xs: Vec<O::Value> = levels.iter().map(O::share).collect();
            for (i, conv) in self.convs.iter().enumerate() {
                xs = ops.scope(&format!("conv.{i}.0"), |ops| ops.conv2d_levels(&xs, conv));
                xs = ops.scope(&format!("conv.{i}.1"), |ops| xs.iter().map(|x| ops.activation(x, Activation::Relu)).collect());
            }
            let logits = predict(ops, "cls_logits", &xs, &self.cls_logits, |ops, y| ops.flatten_logits(y, 1));
            logits
                .into_iter()
                .zip(predict(ops, "bbox_pred", &xs, &self.bbox_pred, |ops, y| ops.flatten_positions(y, 4)))
                .collect()
        });
        let (logits, deltas): (Vec<_>, Vec<_>) = levels.into_iter().unzip();
        RpnOutputs { logits: ops.concat(&logits, 1), deltas: ops.concat(&deltas, 1) }
    }
}

/// `[N, H W A, per_anchor]` of each level.
fn predict<O: Ops>(
    ops: &mut O,
    name: &str,
    xs: &[O::Value],
    layer: &Conv2d,
    flatten: fn(&mut O, &O::Value) -> O::Value,
) -> Vec<O::Value> {
    let one = |ops: &mut O, x: &O::Value| {
        let y = ops.conv2d(x, layer);
        flatten(ops, &y)
    };
    ops.scope(name, |ops| xs.iter().map(|x| one(ops, x)).collect())
}

impl Tree for RpnHead {
    fn visit(&self, v: &mut Collector) {
        for (i, conv) in self.convs.iter().enumerate() {
            v.child(&format!("conv.{i}.0"), conv);
        }
        v.child("cls_logits", &self.cls_logits);
        v.child("bbox_pred", &self.bbox_pred);
    }
}
