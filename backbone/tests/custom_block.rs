//! A network of another crate: its own block, its own row, and what is promised for it.

use repghost_backbone::blocks::{Custom, Flatten, GlobalPool};
use repghost_backbone::cost::Cost;
use repghost_backbone::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use repghost_backbone::{
    registry, Backbone, BackboneConfig, Collector, Eager, FuseLevel, Member, Module, Named, Node, Ops, Tap, Tree,
};
use repghost_backbone::{synthetic, Activation};
use tch::{Kind, Tensor};

/// Two convolutions in parallel, one of them gated by the other: a block that this crate does not have.
#[derive(Debug)]
struct Gated {
    value: Named<ConvBn>,
    gate: Named<ConvBn>,
}

impl Gated {
    fn new(inputs: i64, outputs: i64) -> Self {
        let conv = |activation| {
            let geometry = Conv2dConfig::same(3).stride(2);
            ConvBn::new(["conv", "bn"], Conv2d::new(inputs, outputs, geometry), BatchNormConfig::default(), activation)
        };
        Self { value: Named::new("value", conv(Activation::Relu)), gate: Named::new("gate", conv(Activation::Sigmoid)) }
    }
}

impl Tree for Gated {
    fn visit(&self, v: &mut Collector) {
        self.value.visit(v);
        self.gate.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.value.fuse(level);
        self.gate.fuse(level);
    }
}

impl Module for Gated {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let value = self.value.forward(ops, x);
        let gate = self.gate.forward(ops, x);
        ops.mul(&value, &gate)
    }
}

fn build(config: &BackboneConfig, classes: i64) -> Backbone {
    let c = (8.0 * config.width) as i64;
    let widths = [3, c, 2 * c, 4 * c, 8 * c, 16 * c];
    let block = |i: usize| Node::new(format!("blocks.{i}"), Custom::new(Gated::new(widths[i], widths[i + 1])));
    let taps = (1..5).map(|i| Tap::new(widths[i + 1], 2 << i, i)).collect();
    let tail = vec![Node::new("", GlobalPool), Node::new("", Flatten), Node::new("fc", Linear::new(16 * c, classes))];
    Backbone::new("gated", (0..5).map(block).collect(), taps, tail)
}

#[test]
fn a_block_of_another_crate_is_trained_counted_and_fused() {
    registry::register(Member::new("gated_net", build).keys(&["width"])).unwrap();
    let config = BackboneConfig { width: 0.5, ..BackboneConfig::named("gated_net") };
    let mut net = config.build_classifier(3).unwrap();
    synthetic::fill(&net, "");
    let image = synthetic::input("image", &[2, 3, 64, 96]);

    // The same as the block run by hand.
    let run = |net: &Backbone| tch::no_grad(|| net.features(&mut Eager::eval(), &image));
    let by_hand = Gated::new(3, 4);
    synthetic::fill(&by_hand, "blocks.0.");
    let first = tch::no_grad(|| net.body()[0].forward(&mut Eager::eval(), &image));
    assert!(first.equal(&tch::no_grad(|| by_hand.forward(&mut Eager::eval(), &image))));

    // Every parameter gets a gradient.
    let logits = net.classify(&mut Eager::train(), &image);
    (logits * synthetic::input("projection", &[2, 3])).sum(Kind::Float).backward();
    for entry in net.named_tensors().iter().filter(|e| e.role == repghost_backbone::Role::Parameter) {
        assert!(entry.tensor.grad().defined(), "{}", entry.name);
    }

    // Counted by layer, under the module path: two 3x3 convolutions from 3 to 4 channels on 32 x 48.
    let mut cost = Cost::default();
    let shapes = net.features(&mut cost, &vec![1, 3, 64, 96]);
    assert_eq!(shapes.last().unwrap(), &[1, 64, 2, 3]);
    let stem: i64 = cost.rows.iter().filter(|r| r.path.starts_with("blocks.0.")).map(|r| r.macs).sum();
    assert_eq!(stem, 2 * 32 * 48 * 4 * 27);
    assert_eq!(cost.rows[0].path, "blocks.0.value.conv");

    // Folding changes nothing and leaves no norm.
    let before = run(&net);
    net.fuse(FuseLevel::All);
    assert!(net.survey().norms.is_empty());
    for (a, b) in before.iter().zip(run(&net)) {
        let off: Tensor = (a - b).abs().max();
        assert!(f64::try_from(off).unwrap() < 1e-5);
    }
    let names: Vec<String> = net.named_tensors().into_iter().map(|e| e.name).take(2).collect();
    assert_eq!(names, ["blocks.0.value.conv.weight", "blocks.0.value.conv.bias"]);
}
