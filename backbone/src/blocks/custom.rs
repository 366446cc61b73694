//! Blocks of other crates.
//!
//! A forward is generic over its reader ([`Ops`]), so it cannot be called through a trait object as it is. [`Custom`] runs it with
//! [`Erased`], a reader whose values are numbers: each operation is passed on to the real reader, which keeps the values in a list until
//! the block is done. Any type that implements [`Module`] can be wrapped; it is trained, fused, exported and analyzed like the blocks here.

use std::fmt::Debug;

use crate::layers::{BatchNorm, Conv2d, ConvTranspose2d, GroupNorm, Linear};
use crate::module::{Collector, FuseLevel, Module, Tree};
use crate::ops::{Activation, Ops};

/// Any module as a block.
#[derive(Debug)]
pub struct Custom(Box<dyn ErasedModule>);

impl Custom {
    /// Wraps a module.
    pub fn new(module: impl Module + Debug + Send + 'static) -> Self {
        Self(Box::new(module))
    }
}

impl Tree for Custom {
    fn visit(&self, v: &mut Collector) {
        self.0.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.0.fuse(level);
    }
}

impl Module for Custom {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let mut arena = Arena { ops, values: vec![O::share(x)] };
        let Handle(result) = self.0.forward_erased(&mut Erased(&mut arena), Handle(0));
        arena.values.swap_remove(result)
    }
}

/// The object-safe form of [`Module`].
trait ErasedModule: Tree + Debug + Send {
    fn forward_erased(&self, ops: &mut Erased, x: Handle) -> Handle;
}

impl<M: Module + Debug + Send> ErasedModule for M {
    fn forward_erased(&self, ops: &mut Erased, x: Handle) -> Handle {
        self.forward(ops, &x)
    }
}

/// Number of a value in the arena.
#[derive(Clone, Copy)]
struct Handle(usize);

/// An operation on numbered values.
enum Op<'a> {
    Conv2d(Handle, &'a Conv2d),
    ConvTranspose2d(Handle, &'a ConvTranspose2d),
    Linear(Handle, &'a Linear),
    BatchNorm(Handle, &'a BatchNorm),
    GroupNorm(Handle, &'a GroupNorm),
    Activation(Handle, Activation),
    Add(Handle, Handle),
    Mul(Handle, Handle),
    Concat(&'a [Handle], i64),
    NarrowChannels(Handle, i64, i64),
    MeanHw(Handle),
    MaxPool2d(Handle, i64, i64, i64),
    AvgPool2d(Handle, i64, i64),
    UpsampleNearest(Handle, Handle),
    Flatten(Handle),
    FlattenPositions(Handle, i64),
    Dropout(Handle, f64),
}

/// The object-safe side of a reader.
trait Reader {
    fn enter(&mut self, name: &str);
    fn leave(&mut self);
    fn apply(&mut self, op: Op) -> Handle;
}

/// A reader with the values of one block.
struct Arena<'a, O: Ops> {
    ops: &'a mut O,
    values: Vec<O::Value>,
}

impl<O: Ops> Reader for Arena<'_, O> {
    fn enter(&mut self, name: &str) {
        self.ops.enter(name);
    }

    fn leave(&mut self) {
        self.ops.leave();
    }

    fn apply(&mut self, op: Op) -> Handle {
        let (ops, v) = (&mut *self.ops, &self.values);
        let value = match op {
            Op::Conv2d(x, layer) => ops.conv2d(&v[x.0], layer),
            Op::ConvTranspose2d(x, layer) => ops.conv_transpose2d(&v[x.0], layer),
            Op::Linear(x, layer) => ops.linear(&v[x.0], layer),
            Op::BatchNorm(x, layer) => ops.batch_norm(&v[x.0], layer),
            Op::GroupNorm(x, layer) => ops.group_norm(&v[x.0], layer),
            Op::Activation(x, activation) => ops.activation(&v[x.0], activation),
            Op::Add(a, b) => ops.add(&v[a.0], &v[b.0]),
            Op::Mul(a, b) => ops.mul(&v[a.0], &v[b.0]),
            Op::Concat(parts, dim) => {
                let parts: Vec<O::Value> = parts.iter().map(|p| O::share(&v[p.0])).collect();
                ops.concat(&parts, dim)
            }
            Op::NarrowChannels(x, start, len) => ops.narrow_channels(&v[x.0], start, len),
            Op::MeanHw(x) => ops.mean_hw(&v[x.0]),
            Op::MaxPool2d(x, kernel, stride, padding) => ops.max_pool2d(&v[x.0], kernel, stride, padding),
            Op::AvgPool2d(x, kernel, stride) => ops.avg_pool2d(&v[x.0], kernel, stride),
            Op::UpsampleNearest(x, like) => ops.upsample_nearest(&v[x.0], &v[like.0]),
            Op::Flatten(x) => ops.flatten(&v[x.0]),
            Op::FlattenPositions(x, k) => ops.flatten_positions(&v[x.0], k),
            Op::Dropout(x, p) => ops.dropout(&v[x.0], p),
        };
        self.values.push(value);
        Handle(self.values.len() - 1)
    }
}

/// The reader that passes every operation on.
struct Erased<'a>(&'a mut dyn Reader);

impl Ops for Erased<'_> {
    type Value = Handle;

    fn share(x: &Handle) -> Handle {
        *x
    }

    fn enter(&mut self, name: &str) {
        self.0.enter(name);
    }

    fn leave(&mut self) {
        self.0.leave();
    }

    fn conv2d(&mut self, x: &Handle, layer: &Conv2d) -> Handle {
        self.0.apply(Op::Conv2d(*x, layer))
    }

    fn conv_transpose2d(&mut self, x: &Handle, layer: &ConvTranspose2d) -> Handle {
        self.0.apply(Op::ConvTranspose2d(*x, layer))
    }

    fn linear(&mut self, x: &Handle, layer: &Linear) -> Handle {
        self.0.apply(Op::Linear(*x, layer))
    }

    fn batch_norm(&mut self, x: &Handle, layer: &BatchNorm) -> Handle {
        self.0.apply(Op::BatchNorm(*x, layer))
    }

    fn group_norm(&mut self, x: &Handle, layer: &GroupNorm) -> Handle {
        self.0.apply(Op::GroupNorm(*x, layer))
    }

    fn activation(&mut self, x: &Handle, activation: Activation) -> Handle {
        self.0.apply(Op::Activation(*x, activation))
    }

    fn add(&mut self, a: &Handle, b: &Handle) -> Handle {
        self.0.apply(Op::Add(*a, *b))
    }

    fn mul(&mut self, a: &Handle, b: &Handle) -> Handle {
        self.0.apply(Op::Mul(*a, *b))
    }

    fn concat(&mut self, parts: &[Handle], dim: i64) -> Handle {
        self.0.apply(Op::Concat(parts, dim))
    }

    fn narrow_channels(&mut self, x: &Handle, start: i64, len: i64) -> Handle {
        self.0.apply(Op::NarrowChannels(*x, start, len))
    }

    fn mean_hw(&mut self, x: &Handle) -> Handle {
        self.0.apply(Op::MeanHw(*x))
    }

    fn max_pool2d(&mut self, x: &Handle, kernel: i64, stride: i64, padding: i64) -> Handle {
        self.0.apply(Op::MaxPool2d(*x, kernel, stride, padding))
    }

    fn avg_pool2d(&mut self, x: &Handle, kernel: i64, stride: i64) -> Handle {
        self.0.apply(Op::AvgPool2d(*x, kernel, stride))
    }

    fn upsample_nearest(&mut self, x: &Handle, like: &Handle) -> Handle {
        self.0.apply(Op::UpsampleNearest(*x, *like))
    }

    fn flatten(&mut self, x: &Handle) -> Handle {
        self.0.apply(Op::Flatten(*x))
    }

    fn flatten_positions(&mut self, x: &Handle, k: i64) -> Handle {
        self.0.apply(Op::FlattenPositions(*x, k))
    }

    fn dropout(&mut self, x: &Handle, p: f64) -> Handle {
        self.0.apply(Op::Dropout(*x, p))
    }
}
