//! RetinaNet's two subnets (Lin et al. 2017, section 4), shared by all pyramid levels.
//!
//! One tower of 3x3 convolutions ends in a score for each anchor and class, the other, with weights of its own, in four offsets for
//! each anchor. Names are torchvision's.

use repghost_backbone::layers::{Conv2d, Conv2dConfig, GroupNorm};
use repghost_backbone::{Activation, Collector, Ops, Tree};

use super::config::RetinaNetConfig;
use crate::error::HeadError;
use crate::init;

/// Groups of the optional group norms.
pub(super) const NORM_GROUPS: i64 = 32;
/// Standard deviation of initial weights.
const INIT_STD: f64 = 0.01;

/// The layer whose outputs are logits of objects.
const LOGITS: &str = "cls_logits";

/// A tower and the convolution that predicts.
#[derive(Debug)]
struct Subnet {
    tower: Vec<(Conv2d, Option<GroupNorm>)>,
    predict: Conv2d,
    name: &'static str,
    /// Numbers predicted for each anchor.
    per_anchor: i64,
}

impl Subnet {
    fn new(name: &'static str, inputs: i64, anchors: i64, per_anchor: i64, bias: f64, config: &RetinaNetConfig) -> Self {
        let channels = config.tower_channels.unwrap_or(inputs);
        let conv = |inputs: i64, outputs: i64, has_bias: bool, bias: f64| {
            let conv = Conv2d::new(inputs, outputs, Conv2dConfig { bias: has_bias, ..Conv2dConfig::same(3) });
            init::normal(&conv, INIT_STD, bias);
            conv
        };
        let layer = |i: usize| {
            let norm = config.group_norm.then(|| GroupNorm::new(NORM_GROUPS, channels));
            let layer = conv(if i == 0 { inputs } else { channels }, channels, norm.is_none(), 0.0);
            if norm.is_some() {
                // The norm takes any scale away, but what a step of the optimizer changes is relative to it: weights of 0.01 would be
                // thrown about.
                init::kaiming_normal_fan_out(&layer.weight);
            }
            (layer, norm)
        };
        let tower: Vec<_> = (0..config.tower_depth).map(layer).collect();
        let last = if tower.is_empty() { inputs } else { channels };
        Self { predict: conv(last, anchors * per_anchor, true, bias), tower, name, per_anchor }
    }

    /// `[N, H W A, per_anchor]` of each level.
    fn forward<O: Ops>(&self, ops: &mut O, levels: &[O::Value]) -> Vec<O::Value> {
        let mut xs: Vec<O::Value> = levels.iter().map(O::share).collect();
        for (i, (conv, norm)) in self.tower.iter().enumerate() {
            xs = ops.scope(&format!("conv.{i}.0"), |ops| ops.conv2d_levels(&xs, conv));
            if let Some(norm) = norm {
                xs = ops.scope(&format!("conv.{i}.1"), |ops| xs.iter().map(|x| ops.group_norm(x, norm)).collect());
            }
            xs = ops.scope(&format!("conv.{i}"), |ops| xs.iter().map(|x| ops.activation(x, Activation::Relu)).collect());
        }
        ops.scope(self.name, |ops| {
            let ys = ops.conv2d_levels(&xs, &self.predict);
            let flatten = if self.name == LOGITS { O::flatten_logits } else { O::flatten_positions };
            ys.iter().map(|y| flatten(ops, y, self.per_anchor)).collect()
        })
    }
}

impl Tree for Subnet {
    fn visit(&self, v: &mut Collector) {
        for (i, (conv, norm)) in self.tower.iter().enumerate() {
            v.child(&format!("conv.{i}.0"), conv);
            if let Some(norm) = norm {
                v.child(&format!("conv.{i}.1"), norm);
            }
        }
        v.child(self.name, &self.predict);
    }
}

/// Both subnets.
#[derive(Debug)]
pub struct RetinaNetHead {
    classification: Subnet,
    regression: Subnet,
}

/// Outputs of a dense head, all pyramid levels one after another (fine to coarse).
#[derive(Debug)]
pub struct RawOutputs<V> {
    /// Class logits `[N, A, C]`.
    pub logits: V,
    /// Box offsets `[N, A, 4]`.
    pub deltas: V,
}

impl RetinaNetHead {
    /// Subnets on `inputs` channels. Scores start at `config.prior_probability`.
    ///
    /// # Errors
    /// Channel counts that are not positive or that group norm cannot divide, no classes.
    pub fn new(inputs: i64, anchors: usize, classes: i64, config: &RetinaNetConfig) -> Result<Self, HeadError> {
        let channels = config.tower_channels.unwrap_or(inputs);
        if channels < 1 {
            return Err(HeadError::range("model.head.tower_channels", channels, "positive"));
        }
        if config.group_norm && channels % NORM_GROUPS != 0 {
            return Err(HeadError::range("model.head.tower_channels", channels, "a multiple of 32, which group_norm needs"));
        }
        if classes < 1 {
            return Err(HeadError::range("number of classes", classes, "positive"));
        }
        let prior = config.prior_probability;
        let bias = -((1.0 - prior) / prior).ln();
        let anchors = anchors as i64;
        Ok(Self {
            classification: Subnet::new(LOGITS, inputs, anchors, classes, bias, config),
            regression: Subnet::new("bbox_reg", inputs, anchors, 4, 0.0, config),
        })
    }

    /// Number of outputs per anchor: classes, or 91 where they are numbered by COCO's ids.
    pub fn classes(&self) -> i64 {
        self.classification.per_anchor
    }

    /// Outputs of all levels, joined.
    pub fn forward<O: Ops>(&self, ops: &mut O, pyramid: &[O::Value]) -> RawOutputs<O::Value> {
        let mut run = |name: &str, subnet: &Subnet| {
            ops.scope(name, |ops| {
                let levels = ops.levels(pyramid, |ops, xs| subnet.forward(ops, xs));
                ops.concat(&levels, 1)
            })
        };
        let logits = run("classification_head", &self.classification);
        let deltas = run("regression_head", &self.regression);
        RawOutputs { logits, deltas }
    }
}

impl Tree for RetinaNetHead {
    fn visit(&self, v: &mut Collector) {
        v.child("classification_head", &self.classification);
        v.child("regression_head", &self.regression);
    }
}
