//! A backbone of your own in one file: a block, a network, a row in the registry. It is then trained, fused, exported and analyzed like the
//! built-in ones: `cargo run --release -p repghost-examples --example custom_backbone [FOLDER]`.

use anyhow::Context;
use repghost_backbone::blocks::{Custom, Flatten, GlobalPool};
use repghost_backbone::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use repghost_backbone::member::Member;
use repghost_backbone::module::Named;
use repghost_backbone::{registry, Activation, Backbone, BackboneConfig, Collector, FuseLevel, Module, Node, Ops, Tap, Tree};
use repghost_examples::{output, quick_experiment};
use repghost_export::export::{export, ExportOptions};
use repghost_export::onnx::{ElementType, Nms};
use repghost_export::spec::{BatchSize, Format, Part};
use repghost_train::analyze::{self, report};
use repghost_train::fuse::fuse;
use repghost_train::train::{train, TrainOptions};
use repghost_train::weights_file::WeightsFile;

/// Halves the map by a 3x3 convolution, then adds what a 5x5 depthwise convolution sees around each position.
#[derive(Debug)]
struct WideBlock {
    down: Named<ConvBn>,
    wide: Named<ConvBn>,
}

impl WideBlock {
    fn new(inputs: i64, outputs: i64) -> Self {
        let conv_bn = |conv, activation| ConvBn::new(["conv", "bn"], conv, BatchNormConfig::default(), activation);
        let down = Conv2d::new(inputs, outputs, Conv2dConfig::same(3).stride(2));
        let wide = Conv2d::new(outputs, outputs, Conv2dConfig::same(5).groups(outputs));
        Self {
            down: Named::new("down", conv_bn(down, Activation::Relu)),
            wide: Named::new("wide", conv_bn(wide, Activation::Identity)),
        }
    }
}

/// Names and parameters: the state dict has `down.conv.weight` and so on.
impl Tree for WideBlock {
    fn visit(&self, v: &mut Collector) {
        self.down.visit(v);
        self.wide.visit(v);
    }

    fn fuse(&mut self, level: FuseLevel) {
        self.down.fuse(level);
        self.wide.fuse(level);
    }
}

/// One forward for training, ONNX, TorchScript and counting.
impl Module for WideBlock {
    fn forward<O: Ops>(&self, ops: &mut O, x: &O::Value) -> O::Value {
        let x = self.down.forward(ops, x);
        let around = self.wide.forward(ops, &x);
        let sum = ops.add(&x, &around);
        ops.activation(&sum, Activation::Relu)
    }
}

/// The network: five blocks, of which the last four are tapped at strides 4, 8, 16 and 32.
fn build(config: &BackboneConfig, classes: i64) -> Backbone {
    let channels = (16.0 * config.width) as i64;
    let outputs = [channels, 2 * channels, 4 * channels, 8 * channels, 16 * channels];
    let mut inputs = 3;
    let mut body = vec![];
    for (i, outputs) in outputs.into_iter().enumerate() {
        body.push(Node::new(format!("blocks.{i}"), Custom::new(WideBlock::new(inputs, outputs))));
        inputs = outputs;
    }
    let taps = (1..5).map(|i| Tap::new(outputs[i], 2 << i, i)).collect();
    let tail = vec![Node::new("", GlobalPool), Node::new("", Flatten), Node::new("fc", Linear::new(inputs, classes))];
    Backbone::new(format!("wide {}x", config.width), body, taps, tail)
}

fn main() -> anyhow::Result<()> {
    // From here on experiment files may say `model.backbone: {name: wide, width: 0.5}`.
    registry::register(Member::new("wide", build).keys(&["width"]))?;
    let experiment = quick_experiment(&["model.backbone.name=wide", "model.backbone.width=0.5"])?;
    let e = &experiment.experiment;
    print!("{}", report::table(&[analyze::experiment(e, &analyze::Options { size: Some([64, 64]), classes: None })?]));

    let folder = output("custom_backbone");
    let run = TrainOptions { run_dir: Some(folder.join("run")), quiet: true, ..TrainOptions::default() };
    let trained = train(&experiment, &run, |line| println!("{line}"))?.folder.weights_file("best");

    let fused = folder.join("fused.safetensors");
    let report = fuse(e, WeightsFile::read(&trained)?, &[], FuseLevel::All, &fused)?;
    println!("fused: {} tensors became {}, largest difference {:.1e}", report.tensors[0], report.tensors[1], report.difference);

    let options = ExportOptions {
        thresholds: None,
        weights: trained,
        part: Part::Backbone,
        precision: ElementType::F32,
        int8: None,
        batch: BatchSize::Fixed(1),
        size: [64, 64],
        fused: true,
        format: Format::Onnx,
        nms: Nms::PLAIN,
        output: folder.join("wide.onnx"),
        images: vec![],
    };
    // The file is run in onnxruntime and compared with the network, which needs onnxruntime (`make setup`, or ORT_DYLIB_PATH).
    let exported = export(e, &experiment.to_yaml(false), &options).context("export")?;
    println!("exported: {} nodes, {}", exported.nodes, options.output.display());
    Ok(())
}
