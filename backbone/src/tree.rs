//! The module tree: who owns which tensors, under which name.
//!
//! Modules are plain structs that own their tensors. Names are not stored: [`Tree::visit`] walks the structs and reports each
//! tensor with its path, in the order of a PyTorch `state_dict`. So after fusing (which replaces modules) the names are right by
//! construction, and no name can be registered twice.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use tch::{Device, Kind, Tensor};

use crate::switch::StatsSwitch;

/// How far [`Tree::fuse`] folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FuseLevel {
    /// Only the re-parameterised branches: the deploy form of the family's authors (384 keys for RepGhostNet).
    Branches,
    /// Branches and every batch norm that follows a convolution: no batch norm is left.
    All,
}

/// A node of the module tree.
pub trait Tree {
    /// Reports every tensor below this node, in `state_dict` order.
    fn visit(&self, v: &mut Collector);

    /// Folds branches and batch norms into convolutions, for inference. The default is for nodes that have nothing to fold.
    ///
    /// A node with children must pass the call on.
    fn fuse(&mut self, level: FuseLevel) {
        let _ = level;
    }

    /// All tensors below this node, by name.
    fn named_tensors(&self) -> Vec<Entry> {
        self.survey().entries
    }

    /// Everything below this node: tensors and batch-norm switches.
    fn survey(&self) -> Collector {
        let mut v = Collector::default();
        self.visit(&mut v);
        v
    }

    /// Number of elements in parameters (buffers such as running statistics are not counted).
    fn parameter_count(&self) -> i64 {
        self.named_tensors().iter().filter(|e| e.role == Role::Parameter).map(|e| e.tensor.numel() as i64).sum()
    }

    /// Moves floating-point tensors to a device and kind, in place (handles stay valid). Integer counters stay on the host: nothing on a
    /// device reads them, and counting there would cost a launch per batch norm and step.
    fn convert(&self, device: Device, kind: Kind) {
        tch::no_grad(|| {
            for mut entry in self.named_tensors().into_iter().filter(|e| e.tensor.is_floating_point()) {
                let moved = entry.tensor.to_device(device).to_kind(kind);
                entry.tensor.set_data(&moved);
            }
        })
    }
}

/// A node and its name in the state dict (`"blocks.2.0"`, `"conv_stem"`, `"cheap_operation.0"`; empty where it adds no level).
///
/// The name is written once: the walk over the tree and the forward's scopes both take it from here. Fields and methods of the node are
/// reached through `Deref`.
#[derive(Debug)]
pub struct Named<T> {
    /// Path within the parent.
    pub name: Cow<'static, str>,
    inner: T,
}

impl<T> Named<T> {
    /// A named node.
    pub fn new(name: impl Into<Cow<'static, str>>, inner: impl Into<T>) -> Self {
        Self { name: name.into(), inner: inner.into() }
    }

    /// The node without its name.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T> Deref for Named<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Named<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: Tree> Tree for Named<T> {
    fn visit(&self, v: &mut Collector) {
        v.child(&self.name, &self.inner);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.inner.fuse(level);
    }
}

/// An optional node: nothing to report, fold or compute where it is missing.
impl<T: Tree> Tree for Option<T> {
    fn visit(&self, v: &mut Collector) {
        if let Some(node) = self {
            node.visit(v);
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        if let Some(node) = self {
            node.fuse(level);
        }
    }
}

/// Nodes in a row.
impl<T: Tree> Tree for [T] {
    fn visit(&self, v: &mut Collector) {
        for node in self {
            node.visit(v);
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        for node in self {
            node.fuse(level);
        }
    }
}

/// Whether a tensor is learned or kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Learned by gradient descent.
    Parameter,
    /// Kept beside the parameters: running statistics, counters.
    Buffer,
}

/// A tensor and its name. The handle shares storage and identity with the module's own.
#[derive(Debug)]
pub struct Entry {
    /// Path with dots, as in a PyTorch `state_dict`.
    pub name: String,
    /// A handle to the module's tensor.
    pub tensor: Tensor,
    /// Parameter or buffer.
    pub role: Role,
}

/// Collects what a walk over the tree reports.
#[derive(Debug, Default)]
pub struct Collector {
    path: Vec<String>,
    /// Tensors in `state_dict` order.
    pub entries: Vec<Entry>,
    /// Batch norms by path, with the switch of each.
    pub norms: Vec<(String, StatsSwitch)>,
    /// Starts of names (`"classifier."`) of parts that were dropped after the network was built; a weight file may still have them.
    pub dropped: Vec<String>,
}

impl Collector {
    /// Visits `child` under `name`. A name may hold dots (`"0.conv"`); an empty one adds no level.
    pub fn child(&mut self, name: &str, child: &dyn Tree) {
        self.within(name, |v| child.visit(v));
    }

    /// Runs `f` under `name`.
    pub fn within(&mut self, name: &str, f: impl FnOnce(&mut Self)) {
        if name.is_empty() {
            return f(self);
        }
        self.path.push(name.to_string());
        f(self);
        self.path.pop();
    }

    /// Reports a learned tensor.
    pub fn parameter(&mut self, name: &str, tensor: &Tensor) {
        self.push(name, tensor, Role::Parameter);
    }

    /// Reports a kept tensor.
    pub fn buffer(&mut self, name: &str, tensor: &Tensor) {
        self.push(name, tensor, Role::Buffer);
    }

    /// Reports the switch of the batch norm at the present path.
    pub fn norm(&mut self, switch: &StatsSwitch) {
        self.norms.push((self.path.join("."), switch.clone()));
    }

    /// Reports the start of names of a part that was dropped.
    pub fn dropped(&mut self, start: &str) {
        let path = self.path.iter().map(|p| format!("{p}.")).collect::<String>();
        self.dropped.push(format!("{path}{start}"));
    }

    fn push(&mut self, name: &str, tensor: &Tensor, role: Role) {
        let name = if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path.join(".")) };
        self.entries.push(Entry { name, tensor: tensor.shallow_clone(), role });
    }
}
