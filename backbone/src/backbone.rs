//! A backbone is a list of named blocks, some of which are tapped.
//!
//! Families differ only in that list. A detector reads channels and strides from [`Backbone::taps`], so that no channel number stands
//! in an experiment file (the contract of detectron2's `Backbone.output_shape` and timm's `feature_info`).

use crate::blocks::Block;
use crate::module::{Collector, FuseLevel, Module, Named, Tree};
use crate::ops::Ops;

/// A tap: a feature map that a backbone returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Pyramid level: C2 has stride 4, C3 stride 8, and so on (`stride == 1 << level`). The last level may be tapped twice
    /// ([`TapStyle::Torchvision`](crate::TapStyle::Torchvision)).
    pub level: u32,
    /// Number of channels.
    pub channels: i64,
    /// Input pixels per feature pixel.
    pub stride: i64,
    /// Index of the node of the body that computes it.
    pub node: usize,
}

impl Tap {
    /// A tap at `stride`, a power of two.
    pub fn new(channels: i64, stride: i64, node: usize) -> Self {
        Self { level: stride.trailing_zeros(), channels, stride, node }
    }
}

/// A block and its name in the state dict (`"blocks.2.0"`, `"conv_stem"`; empty where the block's children carry full names).
pub type Node = Named<Block>;

/// A network: body (tapped by detectors) and tail (pooling and classifier).
#[derive(Debug)]
pub struct Backbone {
    /// Name in reports, with the width: `"repghostnet 1.3x"`.
    pub name: String,
    body: Vec<Node>,
    tail: Vec<Node>,
    taps: Vec<Tap>,
    /// Number of body nodes up to and with each stage's end; unlike `taps` it is kept when levels are dropped.
    stage_ends: Vec<usize>,
    /// Starts of names of nodes that were dropped.
    dropped: Vec<String>,
}

impl Backbone {
    /// A network of these nodes and taps.
    ///
    /// # Panics
    /// When taps are out of order or name nodes that do not exist: a family's definition is wrong then.
    pub fn new(name: impl Into<String>, body: Vec<Node>, taps: Vec<Tap>, tail: Vec<Node>) -> Self {
        assert!(taps.windows(2).all(|w| w[0].level <= w[1].level && w[0].node < w[1].node), "taps out of order: {taps:?}");
        assert!(taps.iter().all(|t| t.node < body.len() && t.stride == 1 << t.level), "taps do not fit the body: {taps:?}");
        let stage_ends = taps.iter().map(|t| t.node + 1).collect();
        Self { name: name.into(), body, tail, taps, stage_ends, dropped: vec![] }
    }

    /// The feature maps that [`Backbone::features`] returns, from fine to coarse.
    pub fn taps(&self) -> &[Tap] {
        &self.taps
    }

    /// Names of the tapped maps: `C2`, `C3`, …; the second one of a level is `C5_2`.
    pub fn tap_names(&self) -> Vec<String> {
        level_names("C", &self.taps.iter().map(|t| t.level).collect::<Vec<_>>())
    }

    /// The nodes before the classifier.
    pub fn body(&self) -> &[Node] {
        &self.body
    }

    /// The classifier's nodes: pooling and what follows, and the wide convolution before it where the family has one.
    pub fn tail(&self) -> &[Node] {
        &self.tail
    }

    /// Keeps only the taps at `levels` and drops the nodes behind the last of them, and the classifier: the form that a detector
    /// trains, without unused parameters. A level that is tapped twice is named twice. Returns false where the levels are not those of taps.
    pub fn keep_levels(&mut self, levels: &[u32]) -> bool {
        let kept = self.taps.iter().map(|t| t.level).filter(|level| levels.contains(level));
        if !kept.eq(levels.iter().copied()) {
            return false;
        }
        self.taps.retain(|t| levels.contains(&t.level));
        let last = self.taps.last().map_or(0, |t| t.node + 1);
        for node in self.body.drain(last..).chain(self.tail.drain(..)) {
            self.dropped.extend(starts(&node));
        }
        true
    }

    /// Drops the classifier and keeps every tap: the form whose feature maps are used.
    pub fn drop_classifier(&mut self) {
        let levels: Vec<u32> = self.taps.iter().map(|t| t.level).collect();
        self.keep_levels(&levels);
    }

    /// True while the classifier is there.
    pub fn has_classifier(&self) -> bool {
        !self.tail.is_empty()
    }

    /// The tapped feature maps, in the order of [`Backbone::taps`].
    pub fn features<O: Ops>(&self, ops: &mut O, image: &O::Value) -> Vec<O::Value> {
        let mut out = Vec::with_capacity(self.taps.len());
        let mut x = O::share(image);
        for (i, node) in self.body.iter().enumerate() {
            x = node.forward(ops, &x);
            if self.taps.get(out.len()).is_some_and(|t| t.node == i) {
                out.push(O::share(&x));
            }
        }
        out
    }

    /// Class logits `[N, classes]`.
    ///
    /// # Panics
    /// Without a classifier ([`Backbone::has_classifier`]).
    pub fn classify<O: Ops>(&self, ops: &mut O, image: &O::Value) -> O::Value {
        assert!(self.has_classifier(), "the network has no classifier");
        let x = self.body.forward(ops, image);
        self.tail.forward(ops, &x)
    }

    /// Number of stages, one per tap of the network as it was built.
    pub fn stages(&self) -> usize {
        self.stage_ends.len()
    }

    /// The body's nodes that make up the first `stages` stages, for freezing: stage 1 is all up to and with the block that C2 is
    /// tapped from (mmdetection's `frozen_stages=1`: stem and first stage), stage 2 up to C3, and so on, whether or not those
    /// levels are still tapped. More than [`Backbone::stages`] means the whole body.
    pub fn stage_nodes(&self, stages: usize) -> &[Node] {
        let end = match stages {
            0 => 0,
            n => self.stage_ends.get(n - 1).map_or(self.body.len(), |end| *end.min(&self.body.len())),
        };
        &self.body[..end]
    }
}

/// Names of maps at `levels` (in rising order): `P3`, `P4`, …; where a level stands twice, its second map is `P5_2`.
pub fn level_names(letter: &str, levels: &[u32]) -> Vec<String> {
    let earlier = |i: usize| levels[..i].iter().filter(|level| **level == levels[i]).count();
    let name = |(i, level): (usize, &u32)| match earlier(i) {
        0 => format!("{letter}{level}"),
        n => format!("{letter}{level}_{}", n + 1),
    };
    levels.iter().enumerate().map(name).collect()
}

/// The start of a node's names: its own name, or the modules that carry full names.
fn starts(node: &Node) -> Vec<String> {
    if !node.name.is_empty() {
        return vec![format!("{}.", node.name)];
    }
    let modules = node.named_tensors().into_iter().filter_map(|e| Some(format!("{}.", e.name.rsplit_once('.')?.0)));
    let mut starts: Vec<String> = modules.collect();
    starts.dedup();
    starts
}

impl Tree for Backbone {
    fn visit(&self, v: &mut Collector) {
        self.body.visit(v);
        self.tail.visit(v);
        for start in &self.dropped {
            v.dropped(start);
        }
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.body.fuse(level);
        self.tail.fuse(level);
    }
}
