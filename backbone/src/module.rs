//! Nodes of the [`tree`](crate::tree) that have a forward.

use crate::ops::Ops;
pub use crate::tree::{Collector, Entry, FuseLevel, Named, Role, Tree};

/// A node with one input and one output.
pub trait Module: Tree {
    /// The forward, for any reader.
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value;
}

impl<T: Module> Module for Named<T> {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        if self.name.is_empty() {
            (**self).forward(ops, x)
        } else {
            ops.scope(&self.name, |ops| (**self).forward(ops, x))
        }
    }
}

impl<T: Module> Module for Option<T> {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        match self {
            Some(node) => node.forward(ops, x),
            None => O::share(x),
        }
    }
}

impl<T: Module> Module for [T] {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        self.iter().fold(O::share(x), |x, node| node.forward(ops, &x))
    }
}
