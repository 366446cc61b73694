//! The feature pyramid network (Lin et al. 2017, *Feature Pyramid Networks for Object Detection*).
//!
//! A backbone's fine maps locate objects, its coarse maps classify them. The pyramid brings the two together: a 1x1
//! convolution gives all maps the same number of channels (`inner_blocks`), each coarser map is enlarged and added to the next finer
//! one, and a 3x3 convolution smooths the sums (`layer_blocks`).
//!
//! Detectors want coarser levels still. RetinaNet makes P6 and P7 with 3x3 convolutions of stride 2, from C5 or from P5; Mask R-CNN
//! takes every second pixel of P5 (a 1x1 max-pool of stride 2).

use repghost_backbone::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn};
use repghost_backbone::{Activation, Collector, FuseLevel, Module, Ops, Tap, Tree};
use repghost_config::Check;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::HeadError;
use crate::init;

/// Where the levels above the backbone's last one come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExtraLevels {
    /// There are none.
    None,
    /// Two convolutions on P5 (torchvision's `retinanet_resnet50_fpn`).
    P6p7FromP5,
    /// Two convolutions on C5 (the RetinaNet paper, mmdetection's `on_input`, torchvision's `retinanet_resnet50_fpn_v2`).
    P6p7FromC5,
    /// One subsampled level (Faster and Mask R-CNN).
    MaxPool,
}

/// The keys below `model.fpn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FpnConfig {
    /// Channels of every pyramid level.
    #[schemars(range(min = 1), extend("x-unit" = "channels"))]
    pub channels: i64,
    /// Batch norm after the 1x1 and the 3x3 convolutions (torchvision's `maskrcnn_resnet50_fpn_v2`).
    pub norm: bool,
    /// Levels above the backbone's last one; unset, the head decides (RetinaNet `p6p7_from_p5`, Mask R-CNN `max_pool`).
    pub extra_levels: Option<ExtraLevels>,
    /// ReLU between P6 and P7 (torchvision and the paper have it; mmdetection's RetinaNet has not).
    pub relu_before_p7: bool,
}

impl Default for FpnConfig {
    fn default() -> Self {
        Self { channels: 256, norm: false, extra_levels: None, relu_before_p7: true }
    }
}

impl Check for FpnConfig {}

impl FpnConfig {
    /// Levels of a pyramid on backbone levels `body`. `head_default` is used where `extra_levels` is unset.
    pub fn levels(&self, body: &[u32], head_default: ExtraLevels) -> Vec<u32> {
        let extra = match self.extra_levels.unwrap_or(head_default) {
            ExtraLevels::None => 0,
            ExtraLevels::MaxPool => 1,
            ExtraLevels::P6p7FromP5 | ExtraLevels::P6p7FromC5 => 2,
        };
        let top = body.last().copied().unwrap_or(0);
        body.iter().copied().chain(top + 1..=top + extra).collect()
    }
}

/// A pyramid over some taps of a backbone.
#[derive(Debug)]
pub struct Fpn {
    inner: Vec<ConvBn>,
    layer: Vec<ConvBn>,
    extra: Extra,
    levels: Vec<u32>,
}

#[derive(Debug)]
enum Extra {
    None,
    MaxPool,
    Convs { p6: Box<Conv2d>, p7: Box<Conv2d>, from_c5: bool, relu: bool },
}

impl Fpn {
    /// A pyramid over `taps`, with initial weights as in torchvision (Kaiming uniform with slope 1, biases 0). `head_default` is
    /// used where `config.extra_levels` is unset.
    ///
    /// # Errors
    /// When `channels` is not positive.
    pub fn new(taps: &[Tap], config: &FpnConfig, head_default: ExtraLevels) -> Result<Self, HeadError> {
        let channels = config.channels;
        if channels < 1 {
            return Err(HeadError::range("model.fpn.channels", channels, "positive"));
        }
        let conv = |inputs: i64, kernel: i64, stride: i64| {
            let conv = Conv2d::new(inputs, channels, Conv2dConfig::same(kernel).stride(stride).with_bias());
            init::kaiming_uniform(&conv);
            conv
        };
        let body: Vec<u32> = taps.iter().map(|t| t.level).collect();
        let levels = config.levels(&body, head_default);
        let extra = match config.extra_levels.unwrap_or(head_default) {
            ExtraLevels::None => Extra::None,
            ExtraLevels::MaxPool => Extra::MaxPool,
            from @ (ExtraLevels::P6p7FromP5 | ExtraLevels::P6p7FromC5) => {
                let from_c5 = from == ExtraLevels::P6p7FromC5;
                let inputs = if from_c5 { taps.last().map_or(channels, |t| t.channels) } else { channels };
                let (p6, p7) = (Box::new(conv(inputs, 3, 2)), Box::new(conv(channels, 3, 2)));
                Extra::Convs { p6, p7, from_c5, relu: config.relu_before_p7 }
            }
        };
        let block = |inputs: i64, kernel: i64| {
            let geometry = Conv2dConfig { bias: !config.norm, ..Conv2dConfig::same(kernel) };
            let conv = Conv2d::new(inputs, channels, geometry);
            init::kaiming_uniform(&conv);
            let mut block = ConvBn::new(["0", "1"], conv, BatchNormConfig::default(), Activation::Identity);
            if !config.norm {
                block.bn = None;
            }
            block
        };
        let inner = taps.iter().map(|t| block(t.channels, 1)).collect();
        let layer = taps.iter().map(|_| block(channels, 3)).collect();
        Ok(Self { inner, layer, extra, levels })
    }

    /// Pyramid levels, fine to coarse; level `l` has stride `1 << l`.
    pub fn levels(&self) -> &[u32] {
        &self.levels
    }

    /// Channels of every level.
    pub fn channels(&self) -> i64 {
        self.layer.first().map_or(0, |block| block.conv.outputs())
    }

    /// One map per level, from the backbone's maps (fine to coarse).
    ///
    /// # Panics
    /// When there are not as many maps as taps.
    pub fn forward<O: Ops>(&self, ops: &mut O, features: &[O::Value]) -> Vec<O::Value> {
        assert_eq!(features.len(), self.inner.len(), "one feature map per tap");
        let mut pyramid: Vec<O::Value> = Vec::with_capacity(self.levels.len());
        let mut above: Option<O::Value> = None;
        for (i, x) in features.iter().enumerate().rev() {
            let x = ops.for_convolutions(x);
            let mut sum = ops.scope(&format!("inner_blocks.{i}"), |ops| self.inner[i].forward(ops, &x));
            if let Some(above) = above {
                let enlarged = ops.upsample_nearest(&above, &sum);
                sum = ops.add(&sum, &enlarged);
            }
            pyramid.push(ops.scope(&format!("layer_blocks.{i}"), |ops| self.layer[i].forward(ops, &sum)));
            above = Some(sum);
        }
        pyramid.reverse();
        let (Some(p5), Some(c5)) = (pyramid.last(), features.last()) else {
            return pyramid;
        };
        match &self.extra {
            Extra::None => {}
            Extra::MaxPool => {
                let p6 = ops.scope("extra_blocks", |ops| ops.max_pool2d(p5, 1, 2, 0));
                pyramid.push(p6);
            }
            Extra::Convs { p6, p7, from_c5, relu } => {
                let source = if *from_c5 { c5 } else { p5 };
                let y6 = ops.scope("extra_blocks.p6", |ops| ops.conv2d(source, p6));
                let activation = if *relu { Activation::Relu } else { Activation::Identity };
                let y7 = ops.scope("extra_blocks.p7", |ops| {
                    let x = ops.activation(&y6, activation);
                    ops.conv2d(&x, p7)
                });
                pyramid.extend([y6, y7]);
            }
        }
        pyramid
    }
}

impl Tree for Fpn {
    fn visit(&self, v: &mut Collector) {
        for (name, blocks) in [("inner_blocks", &self.inner), ("layer_blocks", &self.layer)] {
            for (i, block) in blocks.iter().enumerate() {
                v.child(&format!("{name}.{i}"), block);
            }
        }
        if let Extra::Convs { p6, p7, .. } = &self.extra {
            v.child("extra_blocks.p6", p6.as_ref());
            v.child("extra_blocks.p7", p7.as_ref());
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        for block in self.inner.iter_mut().chain(&mut self.layer) {
            block.fuse(level);
        }
    }
}
