//! Fused networks compute what the unfused ones do, with random batch-norm statistics, borders included.

use repghost_backbone::blocks::Branch::{Bn, Dw1x1, Identity};
use repghost_backbone::testing::largest_difference;
use repghost_backbone::{synthetic, Backbone, BackboneConfig, Eager, FuseLevel, ReuseKind, Tree};
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 10;
/// Small and not square: most pixels of the coarse maps are border pixels.
const IMAGE: [i64; 4] = [2, 3, 64, 96];

fn variants() -> Vec<BackboneConfig> {
    let base = BackboneConfig { width: 0.5, ..Default::default() };
    let mut all = vec![];
    for branches in [
        vec![],
        vec![Bn],
        vec![Identity],
        vec![Dw1x1],
        vec![Bn, Identity],
        vec![Dw1x1, Bn],
        vec![Identity, Dw1x1, Bn],
        vec![Bn, Bn],
    ] {
        all.push(BackboneConfig { branches, ..base.clone() });
    }
    all.push(BackboneConfig { shortcut: false, ..base.clone() });
    all.push(BackboneConfig { se: false, ..base.clone() });
    all.push(BackboneConfig { reuse: ReuseKind::Concat, ..base.clone() });
    all.push(BackboneConfig { reuse: ReuseKind::AddAfterRelu, ..base.clone() });
    all.push(BackboneConfig { width: 0.37, ..base });
    all
}

/// Logits and tapped maps.
fn outputs(net: &Backbone, image: &Tensor) -> Vec<Tensor> {
    tch::no_grad(|| {
        let mut all = net.features(&mut Eager::eval(), image);
        if net.has_classifier() {
            all.push(net.classify(&mut Eager::eval(), image));
        }
        all
    })
}

fn agree(config: &BackboneConfig, kind: Kind, tolerance: f64, features_only: bool) -> f64 {
    // Tests run side by side; torch's threads would only wait for each other.
    tch::set_num_threads(1);
    let mut net = config.build_classifier(CLASSES).unwrap();
    if features_only {
        assert!(net.keep_levels(&[3, 4, 5]));
    }
    net.convert(Device::Cpu, kind);
    // Several branches in a sum raise the variance, gates lower it; less gain keeps outputs in the range of real ones.
    let tame = config.se && config.reuse == ReuseKind::Add;
    let gain = synthetic::DEEP_GAIN * if tame { [1.0, 1.0, 0.6, 0.5][config.branches.len()] } else { 0.75 };
    synthetic::fill_with_gain(&net, "", gain);
    let image = synthetic::input("image", &IMAGE).to_kind(kind);
    let unfused = outputs(&net, &image);
    let mut worst: f64 = 0.0;
    for level in [FuseLevel::Branches, FuseLevel::Branches, FuseLevel::All, FuseLevel::All] {
        net.fuse(level);
        for (a, b) in outputs(&net, &image).iter().zip(&unfused) {
            let scale = b.abs().max().double_value(&[]);
            assert!((0.05..10.0).contains(&scale), "{config:?}: outputs up to {scale} make an absolute tolerance meaningless");
            assert_eq!(a.kind(), kind);
            let off = largest_difference(a, b);
            assert!(off <= tolerance, "{config:?} {level:?} {kind:?}: off by {off:e}");
            worst = worst.max(off);
        }
    }
    let left = net.named_tensors().iter().filter(|e| e.name.ends_with("running_mean")).count();
    assert_eq!((left, net.survey().norms.len()), (0, 0), "{config:?}: batch norms left");
    worst
}

#[test]
fn every_variant_agrees_in_single_precision() {
    let worst = variants().iter().map(|c| agree(c, Kind::Float, 1e-5, false)).fold(0.0, f64::max);
    println!("largest difference, fp32: {worst:e}");
}

#[test]
fn every_variant_agrees_in_double_precision() {
    let worst = variants().iter().map(|c| agree(c, Kind::Double, 1e-12, false)).fold(0.0, f64::max);
    println!("largest difference, fp64: {worst:e}");
}

#[test]
fn the_published_widths_agree_as_detectors_see_them() {
    let mut worst: f64 = 0.0;
    for width in [0.5, 0.58, 0.8, 1.0, 1.11, 1.3, 1.5, 2.0] {
        let config = BackboneConfig { width, ..Default::default() };
        worst = worst.max(agree(&config, Kind::Float, 1e-5, true));
        worst = worst.max(agree(&config, Kind::Double, 1e-12, true));
    }
    println!("largest difference over the widths: {worst:e}");
}

/// One module, by hand: every output pixel, corners and edges, equals the sum of its branches.
#[test]
fn a_single_module_folds_exactly_at_the_border() {
    use repghost_backbone::blocks::{GhostModule, GhostModuleConfig, Reuse};
    use repghost_backbone::layers::{BatchNormConfig, Conv2dConfig};
    use repghost_backbone::{Activation, Module};
    let config = GhostModuleConfig {
        outputs: 4,
        activation: Activation::Relu,
        reuse: Reuse::Add(vec![Bn, Dw1x1, Identity]),
        ratio: 2,
        primary: Conv2dConfig::default(),
        norm: BatchNormConfig::default(),
    };
    let mut module = GhostModule::new(3, &config);
    module.convert(Device::Cpu, Kind::Double);
    synthetic::fill(&module, "");
    let x = synthetic::input("x", &[1, 3, 3, 3]).to_kind(Kind::Double);
    let before = tch::no_grad(|| module.forward(&mut Eager::eval(), &x));
    module.fuse(FuseLevel::All);
    let after = tch::no_grad(|| module.forward(&mut Eager::eval(), &x));
    assert!(largest_difference(&before, &after) < 1e-14);
    let names: Vec<String> = module.named_tensors().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["primary_conv.0.weight", "primary_conv.0.bias", "cheap_operation.weight", "cheap_operation.bias"]);
}
