//! A backbone with a feature pyramid on top: what every detector here starts with.
//!
//! Named as torchvision's `BackboneWithFPN`: `body.…` and `fpn.…`.

use repghost_backbone::{Backbone, Collector, FuseLevel, Ops, Tree};

use crate::error::HeadError;
use crate::fpn::{ExtraLevels, Fpn, FpnConfig};

/// Image in, pyramid out.
#[derive(Debug)]
pub struct BackboneWithFpn {
    /// The network, without what lies behind the last level used.
    pub body: Backbone,
    /// The pyramid.
    pub fpn: Fpn,
}

impl BackboneWithFpn {
    /// Cuts `body` to `levels` and puts a pyramid on them.
    ///
    /// # Errors
    /// Levels that the backbone does not tap, or none; channels out of range.
    pub fn new(mut body: Backbone, levels: &[u32], config: &FpnConfig, head_default: ExtraLevels) -> Result<Self, HeadError> {
        let there: Vec<u32> = body.taps().iter().map(|t| t.level).collect();
        if levels.is_empty() || !body.keep_levels(levels) {
            return Err(HeadError::Levels { asked: levels.to_vec(), backbone: body.name.clone(), there });
        }
        let fpn = Fpn::new(body.taps(), config, head_default)?;
        Ok(Self { body, fpn })
    }

    /// One map per pyramid level, fine to coarse.
    pub fn forward<O: Ops>(&self, ops: &mut O, pixels: &O::Value) -> Vec<O::Value> {
        let features = ops.scope("body", |ops| self.body.features(ops, pixels));
        ops.scope("fpn", |ops| self.fpn.forward(ops, &features))
    }
}

impl Tree for BackboneWithFpn {
    fn visit(&self, v: &mut Collector) {
        v.child("body", &self.body);
        v.child("fpn", &self.fpn);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.body.fuse(level);
        self.fpn.fuse(level);
    }
}
