//! How layers stand in the module tree, and the one operation that each of them is.

use super::{BatchNorm, Conv2d, ConvTranspose2d, GroupNorm, Linear};
use crate::module::{Collector, Module, Tree};
use crate::ops::Ops;

impl Tree for Conv2d {
    fn visit(&self, v: &mut Collector) {
        v.parameter("weight", &self.weight);
        if let Some(bias) = &self.bias {
            v.parameter("bias", bias);
        }
    }
}

impl Module for Conv2d {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        ops.conv2d(x, self)
    }
}

impl Tree for ConvTranspose2d {
    fn visit(&self, v: &mut Collector) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
    }
}

impl Module for ConvTranspose2d {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        ops.conv_transpose2d(x, self)
    }
}

impl Tree for Linear {
    fn visit(&self, v: &mut Collector) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
    }
}

impl Module for Linear {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        ops.linear(x, self)
    }
}

impl Tree for BatchNorm {
    fn visit(&self, v: &mut Collector) {
        for (name, tensor) in [("weight", &self.weight), ("bias", &self.bias)] {
            match self.config.tracked {
                true => v.parameter(name, tensor),
                false => v.buffer(name, tensor),
            }
        }
        v.buffer("running_mean", &self.running_mean);
        v.buffer("running_var", &self.running_var);
        if self.config.tracked {
            v.buffer("num_batches_tracked", &self.num_batches_tracked);
        }
        v.norm(&self.use_running_stats);
    }
}

impl Module for BatchNorm {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        ops.batch_norm(x, self)
    }
}

impl Tree for GroupNorm {
    fn visit(&self, v: &mut Collector) {
        v.parameter("weight", &self.weight);
        v.parameter("bias", &self.bias);
    }
}

impl Module for GroupNorm {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        ops.group_norm(x, self)
    }
}
