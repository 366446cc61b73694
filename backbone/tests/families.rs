//! Every backbone against its reference in timm or torchvision: outputs, taps, counts and names of the state dict, from
//! `fixtures/families.json` (made by `tools/fixtures/families.py`).

use repghost_backbone::cost::Cost;
use repghost_backbone::{synthetic, Backbone, BackboneConfig, Eager, FuseLevel, Tree};
use serde::Deserialize;
use tch::{Kind, Tensor};

/// Largest difference that is allowed, relative to the largest element of the output (or to 1, where that is smaller).
const TOLERANCE: f64 = 1e-4;
/// Multiply-adds may differ from the reference by this share.
const MACS_TOLERANCE: f64 = 1e-3;

#[derive(Deserialize)]
struct Fixture {
    classes: i64,
    input: Vec<i64>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    config: BackboneConfig,
    spread: f64,
    #[serde(flatten)]
    trained: Counts,
    deployed: Counts,
    taps: Vec<Sample>,
    logits: Sample,
}

#[derive(Deserialize)]
struct Counts {
    parameters: i64,
    macs: i64,
    names: String,
    keys: usize,
}

#[derive(Deserialize)]
struct Sample {
    shape: Vec<i64>,
    max: f64,
    mean: f64,
    elements: Vec<f64>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/families.json")).expect("the fixture is valid")
}

/// Synthetic weights, with running variances spread as the fixture's script does it.
fn fill_spread(net: &Backbone, spread: f64) {
    synthetic::fill(net, "");
    for mut entry in net.named_tensors().into_iter().filter(|e| e.name.ends_with("running_var")) {
        let _ = tch::no_grad(|| entry.tensor.g_mul_scalar_(spread));
    }
}

/// The largest difference between `found` and the sample, relative to the sample's largest element.
fn difference(found: &Tensor, sample: &Sample) -> f64 {
    assert_eq!(found.size(), sample.shape);
    let flat = Vec::<f64>::try_from(found.to_kind(Kind::Double).reshape(-1)).unwrap();
    let n = sample.elements.len();
    let picked = (0..n).map(|i| flat[i * (flat.len() - 1) / (n - 1)]);
    let mean = flat.iter().sum::<f64>() / flat.len() as f64;
    let max = flat.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let pairs = picked.zip(sample.elements.iter().copied()).chain([(mean, sample.mean), (max, sample.max)]);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / sample.max.max(1.0)
}

fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// The script's hash of all names and shapes.
fn names_hash(net: &Backbone) -> String {
    let mut lines: Vec<String> = net
        .named_tensors()
        .iter()
        .map(|e| {
            let shape: Vec<String> = e.tensor.size().iter().map(i64::to_string).collect();
            format!("{}:{}\n", e.name, shape.join("x"))
        })
        .collect();
    lines.sort();
    format!("{:016x}", fnv1a64(&lines.concat()))
}

fn macs(net: &Backbone) -> i64 {
    let mut cost = Cost::default();
    net.classify(&mut cost, &vec![1, 3, 224, 224]);
    assert_eq!(cost.parameters(), net.parameter_count(), "{}: the counted parameters", net.name);
    cost.macs()
}

fn assert_counts(net: &Backbone, form: &str, expected: &Counts) {
    assert_eq!(net.parameter_count(), expected.parameters, "{} {form}: parameters", net.name);
    assert_eq!(net.named_tensors().len(), expected.keys, "{} {form}: keys", net.name);
    assert_eq!(names_hash(net), expected.names, "{} {form}: names and shapes", net.name);
    let off = macs(net) as f64 / expected.macs as f64 - 1.0;
    assert!(off.abs() < MACS_TOLERANCE, "{} {form}: multiply-adds off by {off}", net.name);
}

#[test]
fn counts_and_names_equal_the_reference() {
    println!("{:<28}{:>12}{:>12}{:>12}{:>12}", "backbone", "parameters", "M macs", "deployed", "M macs");
    for row in fixture().rows {
        let mut net = row.config.build_classifier(1000).unwrap();
        assert_counts(&net, "in training", &row.trained);
        net.fuse(FuseLevel::Branches);
        assert_counts(&net, "deployed", &row.deployed);
        let (t, d) = (&row.trained, &row.deployed);
        let [tm, dm] = [t.macs, d.macs].map(|m| m as f64 / 1e6);
        println!("{:<28}{:>12}{tm:>12.2}{:>12}{dm:>12.2}", net.name, t.parameters, d.parameters);
    }
}

#[test]
fn taps_and_logits_equal_the_reference() {
    let fixture = fixture();
    let image = synthetic::input("image", &fixture.input);
    println!("{:<28}{:>10}{:>10}{:>10}{:>10}{:>10}", "largest difference", "C2", "C3", "C4", "C5", "logits");
    for row in &fixture.rows {
        let net = row.config.build_classifier(fixture.classes).unwrap();
        fill_spread(&net, row.spread);
        let (taps, logits) =
            tch::no_grad(|| (net.features(&mut Eager::eval(), &image), net.classify(&mut Eager::eval(), &image)));
        assert_eq!(taps.len(), row.taps.len(), "{}", net.name);
        let mut found: Vec<f64> = taps.iter().zip(&row.taps).map(|(t, s)| difference(t, s)).collect();
        found.push(difference(&logits, &row.logits));
        let cells: String = found.iter().map(|d| format!("{d:>10.1e}")).collect();
        println!("{:<28}{cells}", net.name);
        assert!(found.iter().all(|d| *d <= TOLERANCE), "{}: {found:?}", net.name);
    }
}

/// Ghost-ResNet50 by counts: 13.95 M parameters and 2.15 G multiply-adds (an independent count of SlimConv's authors), 8.15 M and
/// 1.18 G.
#[test]
fn ghost_resnet_has_its_counts() {
    for (ratio, parameters, giga) in [(2, 13.95, 2.15), (4, 8.15, 1.18)] {
        let net = BackboneConfig { ratio, ..BackboneConfig::named("ghost_resnet50") }.build_classifier(1000).unwrap();
        let (p, m) = (net.parameter_count() as f64 / 1e6, macs(&net) as f64 / 1e9);
        println!("{:<40}{p:>8.3} M{m:>8.3} G", net.name);
        assert!((p - parameters).abs() < 0.005, "{}: {p} M parameters", net.name);
        assert!((m - giga).abs() < 0.005, "{}: {m} G multiply-adds", net.name);
    }
}

/// RepGhost-ResNet50 has no published definition, so its counts are derived by hand from ours.
#[test]
fn repghost_resnet_is_counted_by_hand() {
    // A RepGhost module: k x k convolution, 3x3 depthwise convolution, and three norms of two parameters a channel.
    let module = |inputs: i64, outputs: i64, k: i64| inputs * outputs * k * k + (9 + 6) * outputs;
    let work = |inputs: i64, outputs: i64, k: i64| inputs * outputs * k * k + 9 * outputs;
    for ratio in [2, 4] {
        let mut parameters = 64 * 3 * 49 + 2 * 64 + 2048 * 1000 + 1000;
        let mut macs_by_hand = 64 * 3 * 49 * 112 * 112 + 2048 * 1000;
        let mut inputs = 64;
        for (planes, blocks, pixels) in [(64, 3, 56 * 56), (128, 4, 28 * 28), (256, 6, 14 * 14), (512, 3, 7 * 7)] {
            let (middle, outputs) = (planes / ratio, 4 * planes);
            for i in 0..blocks {
                // The first block of a later stage sees the finer map in its first module.
                let before = if i == 0 && planes > 64 { 4 * pixels } else { pixels };
                parameters += module(inputs, middle, 1) + module(middle, middle, 3) + module(middle, outputs, 1);
                macs_by_hand += before * work(inputs, middle, 1);
                macs_by_hand += pixels * (work(middle, middle, 3) + work(middle, outputs, 1));
                if i == 0 {
                    parameters += inputs * outputs + 2 * outputs;
                    macs_by_hand += pixels * inputs * outputs;
                }
                inputs = outputs;
            }
        }
        let net = BackboneConfig { ratio, ..BackboneConfig::named("repghost_resnet50") }.build_classifier(1000).unwrap();
        assert_eq!((net.parameter_count(), macs(&net)), (parameters, macs_by_hand), "{}", net.name);
        assert!(net.name.contains("re-derived"));
    }
}

/// Standard deviations of torchvision's initial values, and PyTorch's default elsewhere.
#[test]
fn initial_values_are_the_references() {
    tch::manual_seed(0);
    let deviation = |net: &Backbone, name: &str| {
        let entry = net.named_tensors().into_iter().find(|e| e.name == name).unwrap_or_else(|| panic!("no {name}"));
        f64::try_from(entry.tensor.std(false)).unwrap()
    };
    let resnet = BackboneConfig::named("resnet50").build_classifier(1000).unwrap();
    let v3 = BackboneConfig::named("mobilenet_v3_large").build_classifier(1000).unwrap();
    let repvgg = BackboneConfig::named("repvgg_a0").build_classifier(1000).unwrap();
    let cases = [
        (&resnet, "layer3.0.conv2.weight", (2.0f64 / (256.0 * 9.0)).sqrt()),
        (&resnet, "fc.weight", (1.0f64 / (3.0 * 2048.0)).sqrt()),
        // A depthwise convolution's fan counts all its channels, as in torch.
        (&v3, "features.13.block.1.0.weight", (2.0f64 / (672.0 * 25.0)).sqrt()),
        (&v3, "classifier.3.weight", 0.01),
        (&repvgg, "stages.3.0.conv_kxk.conv.weight", (1.0f64 / (3.0 * 192.0 * 9.0)).sqrt()),
    ];
    for (net, name, expected) in cases {
        let found = deviation(net, name);
        assert!((found / expected - 1.0).abs() < 0.02, "{} {name}: {found}, expected {expected}", net.name);
    }
    assert_eq!(deviation(&v3, "features.4.block.2.fc1.bias"), 0.0);
    for net in [&resnet, &v3, &repvgg] {
        for path in net.survey().norms.iter().map(|(path, _)| path) {
            let find = |leaf: &str| net.named_tensors().into_iter().find(|e| e.name == format!("{path}.{leaf}")).unwrap().tensor;
            let (weight, bias) = (find("weight"), find("bias"));
            assert_eq!((f64::try_from(weight.min()).unwrap(), f64::try_from(weight.max()).unwrap()), (1.0, 1.0), "{path}");
            assert_eq!(f64::try_from(bias.abs().max()).unwrap(), 0.0, "{path}");
        }
    }
}

/// FrozenBatchNorm2d: nothing of the norms is learned, and training leaves the outputs of inference.
#[test]
fn frozen_norms_are_buffers() {
    let config = BackboneConfig { norm: repghost_backbone::NormKind::Frozen, ..BackboneConfig::named("resnet18") };
    let net = config.build_classifier(4).unwrap();
    fill_spread(&net, 4.0);
    assert!(net.named_tensors().iter().all(|e| !e.name.ends_with("num_batches_tracked")));
    repghost_backbone::freeze::use_running_stats(&net, false);
    let image = synthetic::input("image", &[2, 3, 64, 64]);
    let [train, eval] = [Eager::train(), Eager::eval()].map(|mut ops| net.classify(&mut ops, &image));
    assert_eq!(f64::try_from((train - eval).abs().max()).unwrap(), 0.0);
    let plain = BackboneConfig::named("resnet18").build_classifier(4).unwrap();
    assert_eq!(plain.parameter_count() - net.parameter_count(), 2 * 4800);
}
