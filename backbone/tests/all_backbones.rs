//! What every name of the registry promises: real taps, a train step that reaches every parameter, a fuse that changes nothing.

use repghost_backbone::registry;
use repghost_backbone::{synthetic, Backbone, BackboneConfig, Eager, FuseLevel, Role, Tree};
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 5;
/// Odd both ways, and C5 is 4x4: GhostNetV2 halves it once more, and on a single pixel its biases cancel in the next norm.
const INPUT: [i64; 4] = [2, 3, 103, 101];
/// A smaller one, for convolutions in double precision.
const SMALL_INPUT: [i64; 4] = [1, 3, 35, 49];

/// Depthwise convolutions in double precision are thousands of tiny loops: waiting for each other's threads would take minutes.
fn one_thread() {
    tch::set_num_threads(1);
}

/// All names, and the rows of a family that differ in more than width.
fn configs() -> Vec<BackboneConfig> {
    let mut all: Vec<BackboneConfig> = registry::names().iter().map(|name| BackboneConfig::named(name)).collect();
    for name in ["ghost_resnet50", "repghost_resnet50"] {
        all.push(BackboneConfig { ratio: 4, ..BackboneConfig::named(name) });
    }
    for name in ["repghostnet", "ghostnet", "ghostnetv2", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"] {
        all.push(BackboneConfig { width: 0.35, ..BackboneConfig::named(name) });
    }
    all
}

/// Synthetic weights, with wide running variances: so the sums of many branches stay near 1 in inference.
fn built(config: &BackboneConfig) -> Backbone {
    const SPREAD: f64 = 4.0;
    let net = config.build_classifier(CLASSES).unwrap();
    synthetic::fill(&net, "");
    for mut entry in net.named_tensors().into_iter().filter(|e| e.name.ends_with("running_var")) {
        let _ = tch::no_grad(|| entry.tensor.g_mul_scalar_(SPREAD));
    }
    net
}

#[test]
fn declared_channels_and_strides_are_real() {
    one_thread();
    for config in configs() {
        let net = config.build_classifier(CLASSES).unwrap();
        let image = synthetic::input("image", &SMALL_INPUT);
        let maps = tch::no_grad(|| net.features(&mut Eager::eval(), &image));
        assert_eq!(net.taps().iter().map(|t| t.level).collect::<Vec<_>>(), [2, 3, 4, 5], "{}", net.name);
        for (tap, map) in net.taps().iter().zip(&maps) {
            let up = |d: i64| (d + tap.stride - 1) / tap.stride;
            assert_eq!(
                map.size(),
                [SMALL_INPUT[0], tap.channels, up(SMALL_INPUT[2]), up(SMALL_INPUT[3])],
                "{} {tap:?}",
                net.name
            );
            assert_eq!(tap.stride, 1 << tap.level, "{}", net.name);
        }
        // A deeper block of the same stride would have been the stage's end.
        let ends: Vec<usize> = net.taps().iter().map(|t| t.node).collect();
        assert_eq!(ends[3], net.body().len() - 1, "{}: C5 is the last block", net.name);
    }
}

#[test]
fn every_parameter_gets_a_gradient_and_a_step_changes_it() {
    one_thread();
    tch::manual_seed(0);
    for config in configs() {
        let image = synthetic::input("image", &INPUT);
        let mut net = built(&config);
        let logits = net.classify(&mut Eager::train(), &image);
        step(&net, "classifier", &[logits]);
        assert!(net.keep_levels(&[2, 3, 4, 5]));
        assert!(!net.has_classifier());
        let maps = net.features(&mut Eager::train(), &image);
        step(&net, "features", &maps);
    }
}

/// One step of gradient descent on a random projection of `outputs`.
fn step(net: &Backbone, form: &str, outputs: &[Tensor]) {
    let mut loss = Tensor::zeros([], (Kind::Float, Device::Cpu));
    for (i, y) in outputs.iter().enumerate() {
        loss += (y * synthetic::input(&format!("projection {i}"), &y.size())).mean(None::<Kind>);
    }
    loss.backward();
    for mut entry in net.named_tensors().into_iter().filter(|e| e.role == Role::Parameter) {
        let gradient = entry.tensor.grad();
        assert!(gradient.defined(), "{} {form}: {} gets no gradient", net.name, entry.name);
        let largest = f64::try_from(gradient.abs().max()).unwrap();
        assert!(largest.is_finite() && largest > 0.0, "{} {form}: the gradient of {} is {largest}", net.name, entry.name);
        let before = entry.tensor.copy();
        let _ = tch::no_grad(|| entry.tensor.g_sub_(&(&gradient * (0.01 / largest))));
        assert!(!entry.tensor.equal(&before), "{} {form}: {} did not move", net.name, entry.name);
        entry.tensor.zero_grad();
    }
}

/// CIFAR's 32 pixels leave one at C5, 16 pixels as many; GhostNetV2 pools that one once more (timm refuses such images).
#[test]
fn small_images_are_classified() {
    one_thread();
    for config in configs() {
        let net = built(&config);
        for size in [[2, 3, 32, 32], [1, 3, 16, 16], [2, 3, 20, 70]] {
            let logits = tch::no_grad(|| net.classify(&mut Eager::eval(), &synthetic::input("small", &size)));
            assert_eq!(logits.size(), [size[0], CLASSES], "{} {size:?}", net.name);
            assert_eq!(logits.isfinite().all().int64_value(&[]), 1, "{} {size:?}", net.name);
            let mut cost = repghost_backbone::cost::Cost::default();
            assert_eq!(net.classify(&mut cost, &size.to_vec()), [size[0], CLASSES], "{} {size:?}", net.name);
        }
    }
}

/// By hand on one pixel: a pool of one value is that value, and of a 1x3 map with windows of 1x2 the mean of the first two.
#[test]
fn small_maps_are_averaged_whole() {
    use repghost_backbone::Ops;
    let pool = |values: &[f32], size: [i64; 4]| Eager::eval().avg_pool2d(&Tensor::from_slice(values).view(size), 2, 2);
    assert_eq!(Vec::<f32>::try_from(pool(&[7.0], [1, 1, 1, 1]).view(-1)).unwrap(), [7.0]);
    assert_eq!(Vec::<f32>::try_from(pool(&[1.0, 4.0, 9.0], [1, 1, 1, 3]).view(-1)).unwrap(), [2.5]);
    assert_eq!(Vec::<f32>::try_from(pool(&[1.0, 2.0, 3.0, 6.0], [1, 1, 2, 2]).view(-1)).unwrap(), [3.0]);
}

#[test]
fn fusing_changes_nothing() {
    one_thread();
    println!("{:<40}{:>12}{:>12}", "largest relative difference", "fp32", "fp64");
    for config in configs() {
        let image = synthetic::input("image", &SMALL_INPUT);
        let mut found = vec![];
        for (kind, tolerance) in [(Kind::Float, 1e-4), (Kind::Double, 1e-10)] {
            let mut net = built(&config);
            net.convert(Device::Cpu, kind);
            let image = image.to_kind(kind);
            let run = |net: &Backbone| {
                tch::no_grad(|| {
                    let mut out = net.features(&mut Eager::eval(), &image);
                    out.push(net.classify(&mut Eager::eval(), &image));
                    out
                })
            };
            let before = run(&net);
            for level in [FuseLevel::Branches, FuseLevel::All] {
                net.fuse(level);
                let worst = before.iter().zip(run(&net)).map(|(a, b)| relative(a, &b)).fold(0.0, f64::max);
                assert!(worst <= tolerance, "{} {kind:?} {level:?}: {worst}", net.name);
                found.push(worst);
            }
            assert!(net.survey().norms.is_empty(), "{}: a norm is left", net.name);
        }
        println!(
            "{:<40}{:>12.1e}{:>12.1e}",
            config.build_classifier(CLASSES).unwrap().name,
            found[0].max(found[1]),
            found[2].max(found[3])
        );
    }
}

fn relative(a: &Tensor, b: &Tensor) -> f64 {
    let largest = f64::try_from(a.abs().max()).unwrap();
    assert!(largest > 0.0 && largest.is_finite());
    f64::try_from((a - b).abs().max()).unwrap() / largest
}
