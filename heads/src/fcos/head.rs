//! FCOS's two subnets (Tian et al. 2019, section 3.1), shared by all pyramid levels.
//!
//! Each is a tower of 3x3 convolutions with group norm and ReLU. One ends in a score per class. The other ends in the distances from a point to the
//! four sides of its object, in strides and never negative (a ReLU), and in the centerness. Names are torchvision's.

use repghost_backbone::layers::{Conv2d, Conv2dConfig, GroupNorm};
use repghost_backbone::{Activation, Collector, Ops, Tree};

use super::config::FcosConfig;
use crate::error::HeadError;
use crate::init;

/// Standard deviation of the predicting layers' initial weights.
const INIT_STD: f64 = 0.01;
/// Entries of a tower's list per convolution: itself, its norm, the ReLU.
const STEP: usize = 3;

/// Convolutions with group norm and ReLU.
#[derive(Debug)]
struct Tower(Vec<(Conv2d, GroupNorm)>);

impl Tower {
    fn new(channels: i64, config: &FcosConfig) -> Self {
        let layer = |_| {
            let conv = conv(channels, channels, 0.0);
            // The norm takes any scale away, but what a step of the optimizer changes is relative to it: torchvision's 0.01 would be thrown
            // about.
            init::kaiming_normal_fan_out(&conv.weight);
            (conv, GroupNorm::new(config.norm_groups, channels))
        };
        Self((0..config.tower_depth).map(layer).collect())
    }

    fn forward<O: Ops>(&self, ops: &mut O, levels: &[O::Value]) -> Vec<O::Value> {
        let mut xs: Vec<O::Value> = levels.iter().map(O::share).collect();
        for (i, (conv, norm)) in self.0.iter().enumerate() {
            xs = ops.scope(&format!("conv.{}", STEP * i), |ops| ops.conv2d_levels(&xs, conv));
            xs = ops.scope(&format!("conv.{}", STEP * i + 1), |ops| xs.iter().map(|x| ops.group_norm(x, norm)).collect());
            let relu = |ops: &mut O| xs.iter().map(|x| ops.activation(x, Activation::Relu)).collect();
            xs = ops.scope(&format!("conv.{}", STEP * i + 2), relu);
        }
        xs
    }
}

impl Tree for Tower {
    fn visit(&self, v: &mut Collector) {
        for (i, (conv, norm)) in self.0.iter().enumerate() {
            v.child(&format!("conv.{}", STEP * i), conv);
            v.child(&format!("conv.{}", STEP * i + 1), norm);
        }
    }
}

/// Both subnets.
#[derive(Debug)]
pub struct FcosHead {
    classification: Tower,
    cls_logits: Conv2d,
    regression: Tower,
    bbox_reg: Conv2d,
    bbox_ctrness: Conv2d,
}

/// The head's outputs at `A` points, all pyramid levels one after another (fine to coarse).
#[derive(Debug)]
pub struct FcosOutputs<V> {
    /// Class logits `[N, A, C]`.
    pub logits: V,
    /// Distances to the left, upper, right and lower side `[N, A, 4]`, in strides.
    pub distances: V,
    /// Logits of the centerness `[N, A, 1]`.
    pub centerness: V,
}

impl FcosHead {
    /// Subnets on `channels` channels with `classes` outputs per point.
    ///
    /// # Errors
    /// A number of channels that the group norm cannot divide; no class.
    pub fn new(channels: i64, classes: i64, config: &FcosConfig) -> Result<Self, HeadError> {
        if classes < 1 {
            return Err(HeadError::range("classes", classes, "at least 1"));
        }
        if config.norm_groups < 1 || channels % config.norm_groups != 0 {
            return Err(HeadError::range("model.head.norm_groups", config.norm_groups, "a divisor of model.fpn.channels"));
        }
        let prior = config.prior_probability;
        Ok(Self {
            classification: Tower::new(channels, config),
            cls_logits: conv(channels, classes, -((1.0 - prior) / prior).ln()),
            regression: Tower::new(channels, config),
            bbox_reg: conv(channels, 4, 0.0),
            bbox_ctrness: conv(channels, 1, 0.0),
        })
    }

    /// Outputs of all levels, joined.
    pub fn forward<O: Ops>(&self, ops: &mut O, pyramid: &[O::Value]) -> FcosOutputs<O::Value> {
        let logits = ops.scope("classification_head", |ops| {
            let levels = ops.levels(pyramid, |ops, xs| {
                let xs = self.classification.forward(ops, xs);
                predict(ops, "cls_logits", &xs, &self.cls_logits, |ops, y, k| ops.flatten_logits(y, k))
            });
            ops.concat(&levels, 1)
        });
        let (distances, centerness) = ops.scope("regression_head", |ops| {
            let levels = ops.levels(pyramid, |ops, xs| {
                let xs = self.regression.forward(ops, xs);
                let ds = predict(ops, "bbox_reg", &xs, &self.bbox_reg, |ops, y, k| ops.flatten_positions(y, k));
                let ds: Vec<_> = ops.scope("relu", |ops| ds.iter().map(|d| ops.activation(d, Activation::Relu)).collect());
                let centerness = predict(ops, "bbox_ctrness", &xs, &self.bbox_ctrness, |ops, y, k| ops.flatten_positions(y, k));
                ds.into_iter().zip(centerness).collect()
            });
            let (distances, centerness): (Vec<_>, Vec<_>) = levels.into_iter().unzip();
            (ops.concat(&distances, 1), ops.concat(&centerness, 1))
        });
        FcosOutputs { logits, distances, centerness }
    }
}

/// [`Ops::flatten_positions`] or [`Ops::flatten_logits`].
type Flatten<O> = fn(&mut O, &<O as Ops>::Value, i64) -> <O as Ops>::Value;

/// `[N, H W, outputs]` of each level.
fn predict<O: Ops>(ops: &mut O, name: &str, xs: &[O::Value], layer: &Conv2d, flatten: Flatten<O>) -> Vec<O::Value> {
    ops.scope(name, |ops| {
        let ys = ops.conv2d_levels(xs, layer);
        ys.iter().map(|y| flatten(ops, y, layer.outputs())).collect()
    })
}

fn conv(inputs: i64, outputs: i64, bias: f64) -> Conv2d {
    let conv = Conv2d::new(inputs, outputs, Conv2dConfig::same(3).with_bias());
    init::normal(&conv, INIT_STD, bias);
    conv
}

impl Tree for FcosHead {
    fn visit(&self, v: &mut Collector) {
        v.within("classification_head", |v| {
            self.classification.visit(v);
            v.child("cls_logits", &self.cls_logits);
        });
        v.within("regression_head", |v| {
            self.regression.visit(v);
            v.child("bbox_reg", &self.bbox_reg);
            v.child("bbox_ctrness", &self.bbox_ctrness);
        });
    }
}
