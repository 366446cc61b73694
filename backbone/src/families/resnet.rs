//! ResNet (He et al., 2015; stride in the 3x3 convolution, as torchvision has it) and its ghost forms.
//!
//! | form | every convolution but the 7x7 stem becomes | parameters, multiply-adds of ResNet-50 at 224 px |
//! |---|---|---|
//! | plain | itself | 25.56 M, 4.09 G |
//! | Ghost-ResNet (Han et al., 2020, section 4.2) | a Ghost module of ratio `s` with the convolution's kernel and stride | s=2: 13.95 M, 2.15 G; s=4: 8.15 M, 1.18 G |
//! | RepGhost-ResNet | a RepGhost module (in shortcuts: itself), between `s` times thinner middles | s=2: 12.63 M, 1.89 G; s=4: 8.14 M, 1.09 G |
//!
//! Ghost-ResNet's published multiply-adds are met; its published parameters (13.0 M, 6.5 M) lie below every faithful count. The
//! definition of RepGhost-ResNet was not published: this one is *re-derived* by analogy with RepGhostNet's bottleneck (middle
//! width divided by `s`, output width kept, shortcuts without RepGhost modules), and its name in reports includes that.

use super::init;
use crate::backbone::{Backbone, Node, Tap};
use crate::blocks::{Branch, Dropout, Flatten, GhostModule, GhostModuleConfig, GlobalPool, MaxPool, ResidualBlock, Reuse, Unit};
use crate::config::BackboneConfig;
use crate::layers::{BatchNormConfig, Conv2d, Conv2dConfig, ConvBn, Linear};
use crate::member::{Member, Recognised};
use crate::module::Named;
use crate::ops::Activation;
use crate::shapes::Shapes;

const STEM_CHANNELS: i64 = 64;
const STEM_KERNEL: i64 = 7;
const STAGE_CHANNELS: [i64; 4] = [64, 128, 256, 512];
/// Output channels of a bottleneck for one of its 3x3 convolution.
const EXPANSION: i64 = 4;
const UNIT_NAMES: [[&str; 2]; 3] = [["conv1", "bn1"], ["conv2", "bn2"], ["conv3", "bn3"]];
const SHORTCUT_NAMES: [&str; 2] = ["downsample.0", "downsample.1"];
/// Name of a ghost module in the shortcut's place.
const GHOST_SHORTCUT: &str = "downsample";

const NORM_KEYS: &[&str] = &["norm", "norm_eps"];
const GHOST_KEYS: &[&str] = &["norm", "norm_eps", "ratio"];

/// ResNet-18 to ResNet-101 and the two ghost forms of ResNet-50.
pub const MEMBERS: &[Member] = &[
    Member::new("resnet18", |c, classes| build(&D18, Form::Plain, c, classes))
        .keys(NORM_KEYS)
        .recognised_by(|s| recognise(s, &D18, Modules::Plain)),
    Member::new("resnet34", |c, classes| build(&D34, Form::Plain, c, classes))
        .keys(NORM_KEYS)
        .recognised_by(|s| recognise(s, &D34, Modules::Plain)),
    Member::new("resnet50", |c, classes| build(&D50, Form::Plain, c, classes))
        .keys(NORM_KEYS)
        .recognised_by(|s| recognise(s, &D50, Modules::Plain)),
    Member::new("resnet101", |c, classes| build(&D101, Form::Plain, c, classes))
        .keys(NORM_KEYS)
        .recognised_by(|s| recognise(s, &D101, Modules::Plain)),
    Member::new("ghost_resnet50", |c, classes| build(&D50, Form::Ghost(c.ratio), c, classes))
        .keys(GHOST_KEYS)
        .recognised_by(|s| recognise(s, &D50, Modules::Ghost)),
    Member::new("repghost_resnet50", |c, classes| build(&D50, Form::RepGhost(c.ratio), c, classes))
        .keys(GHOST_KEYS)
        .recognised_by(|s| recognise(s, &D50, Modules::RepGhost)),
];

/// Learned layers, bottlenecks instead of basic blocks, and blocks per stage.
struct Depth(u32, bool, [usize; 4]);

const D18: Depth = Depth(18, false, [2, 2, 2, 2]);
const D34: Depth = Depth(34, false, [3, 4, 6, 3]);
const D50: Depth = Depth(50, true, [3, 4, 6, 3]);
const D101: Depth = Depth(101, true, [3, 4, 23, 3]);

/// The modules in the place of convolutions with their norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The convolution.
    Plain,
    /// A Ghost module; the number is `s`.
    Ghost(i64),
    /// A RepGhost module; the number is `s`.
    RepGhost(i64),
}

/// Settings of all units.
#[derive(Clone, Copy)]
struct Settings {
    form: Form,
    norm: BatchNormConfig,
}

/// Builds the network, with Kaiming's initial values over the outputs of each convolution.
fn build(&Depth(layers, bottleneck, repeats): &Depth, form: Form, c: &BackboneConfig, classes: i64) -> Backbone {
    let s = &Settings { form, norm: c.batch_norm() };
    let geometry = Conv2dConfig::same(STEM_KERNEL).stride(2);
    let stem = ConvBn::new(UNIT_NAMES[0], Conv2d::new(3, STEM_CHANNELS, geometry), s.norm, Activation::Relu);
    let mut body = vec![Node::new("", stem), Node::new("", MaxPool { kernel: 3, stride: 2, padding: 1 })];
    let mut taps = vec![];
    let mut inputs = STEM_CHANNELS;
    let mut stride = 4;
    for (stage, (&planes, &n)) in STAGE_CHANNELS.iter().zip(&repeats).enumerate() {
        let outputs = if bottleneck { planes * EXPANSION } else { planes };
        for i in 0..n {
            let step = if i == 0 && stage > 0 { 2 } else { 1 };
            let units = if bottleneck { bottleneck_units(s, inputs, planes, step) } else { basic_units(s, inputs, planes, step) };
            let projects = step > 1 || inputs != outputs;
            let shortcut = projects.then(|| {
                let geometry = Conv2dConfig::default().stride(step);
                let form = if let Form::RepGhost(_) = s.form { Form::Plain } else { s.form };
                let s = Settings { form, ..*s };
                unit(&s, SHORTCUT_NAMES, GHOST_SHORTCUT, [inputs, outputs], geometry, Activation::Identity)
            });
            inputs = outputs;
            stride *= step;
            body.push(Node::new(format!("layer{}.{i}", stage + 1), ResidualBlock::new(units, shortcut)));
        }
        taps.push(Tap::new(inputs, stride, body.len() - 1));
    }
    let mut tail = vec![Node::new("", GlobalPool), Node::new("", Flatten)];
    tail.push(Node::new("", Dropout(c.dropout_or(0.0))));
    tail.push(Node::new("fc", Linear::new(inputs, classes)));
    let name = match s.form {
        Form::Plain => format!("resnet{layers}"),
        Form::Ghost(ratio) => format!("ghost_resnet{layers} s={ratio}"),
        Form::RepGhost(ratio) => format!("repghost_resnet{layers} s={ratio} (re-derived)"),
    };
    let net = Backbone::new(name, body, taps, tail);
    init::kaiming_fan_out(&net);
    net
}

fn basic_units(s: &Settings, inputs: i64, planes: i64, step: i64) -> Vec<Unit> {
    let middle = middle_channels(s.form, planes);
    let geometry = Conv2dConfig::same(3);
    vec![
        main_unit(s, 0, [inputs, middle], geometry.stride(step), Activation::Relu),
        main_unit(s, 1, [middle, planes], geometry, Activation::Identity),
    ]
}

fn bottleneck_units(s: &Settings, inputs: i64, planes: i64, step: i64) -> Vec<Unit> {
    let middle = middle_channels(s.form, planes);
    vec![
        main_unit(s, 0, [inputs, middle], Conv2dConfig::default(), Activation::Relu),
        main_unit(s, 1, [middle, middle], Conv2dConfig::same(3).stride(step), Activation::Relu),
        main_unit(s, 2, [middle, planes * EXPANSION], Conv2dConfig::default(), Activation::Identity),
    ]
}

fn middle_channels(form: Form, planes: i64) -> i64 {
    match form {
        Form::RepGhost(ratio) => planes / ratio,
        _ => planes,
    }
}

fn main_unit(s: &Settings, index: usize, channels: [i64; 2], geometry: Conv2dConfig, activation: Activation) -> Unit {
    unit(s, UNIT_NAMES[index], UNIT_NAMES[index][0], channels, geometry, activation)
}

fn unit(
    s: &Settings,
    names: [&'static str; 2],
    ghost_name: &'static str,
    [inputs, outputs]: [i64; 2],
    primary: Conv2dConfig,
    activation: Activation,
) -> Unit {
    let (reuse, ratio) = match s.form {
        Form::Plain => {
            return Unit::Plain(Box::new(ConvBn::new(names, Conv2d::new(inputs, outputs, primary), s.norm, activation)))
        }
        Form::Ghost(ratio) => (Reuse::Concat, ratio),
        Form::RepGhost(ratio) => (Reuse::Add(vec![Branch::Bn]), ratio),
    };
    let config = GhostModuleConfig { outputs, activation, reuse, ratio, primary, norm: s.norm };
    Unit::Ghost(Box::new(Named::new(ghost_name, GhostModule::new(inputs, &config))))
}

/// The modules that a file's weights show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Modules {
    Plain,
    Ghost,
    RepGhost,
}

/// torchvision's names: blocks per stage, bottlenecks or not, and the modules inside.
fn recognise(s: &Shapes, &Depth(_, bottleneck, repeats): &Depth, modules: Modules) -> Option<Recognised> {
    s.outputs(&["conv1.weight"])?;
    let added = s.has(".fusion_bn.") || s.has(".cheap_operation.weight");
    let found = match (s.has(".primary_conv."), added) {
        (false, _) => Modules::Plain,
        (true, false) => Modules::Ghost,
        (true, true) => Modules::RepGhost,
    };
    let depth = [1, 2, 3, 4].map(|layer| s.count(&format!("layer{layer}")));
    (depth == repeats && s.has("layer1.0.conv3.") == bottleneck && found == modules).then(Recognised::default)
}
