//! A RetinaNet as it is built: names, initial values, complexity, fusing, and settings that are refused.

use repghost_backbone::cost::Cost;
use repghost_backbone::synthetic::{fill, input};
use repghost_backbone::{BackboneConfig, Eager, FuseLevel, Tree};
use repghost_heads::losses::BoxLoss;
use repghost_heads::model::DetectorModel;
use repghost_heads::retinanet::RawOutputs;
use repghost_heads::{Detector, ExtraLevels, FpnConfig, HeadConfig, HeadError, ImageBatch, RetinaNet, RetinaNetConfig, Target};
use tch::Kind;

fn build(fpn: FpnConfig, head: RetinaNetConfig) -> Result<RetinaNet, HeadError> {
    let body = BackboneConfig { width: 0.5, ..Default::default() }.build_features().unwrap();
    RetinaNet::new(body, &fpn, &head, 4)
}

fn narrow() -> FpnConfig {
    FpnConfig { channels: 32, ..Default::default() }
}

/// torchvision's `retinanet_resnet50_fpn` has these names behind the body, in this order.
#[test]
fn names_are_torchvisions() {
    let net = build(narrow(), RetinaNetConfig { tower_depth: 1, ..Default::default() }).unwrap();
    let names: Vec<String> = net.named_tensors().into_iter().map(|e| e.name).filter(|n| !n.contains(".body.")).collect();
    let mut expected = Vec::new();
    for path in [
        "backbone.fpn.inner_blocks.0.0",
        "backbone.fpn.inner_blocks.1.0",
        "backbone.fpn.inner_blocks.2.0",
        "backbone.fpn.layer_blocks.0.0",
        "backbone.fpn.layer_blocks.1.0",
        "backbone.fpn.layer_blocks.2.0",
        "backbone.fpn.extra_blocks.p6",
        "backbone.fpn.extra_blocks.p7",
        "head.classification_head.conv.0.0",
        "head.classification_head.cls_logits",
        "head.regression_head.conv.0.0",
        "head.regression_head.bbox_reg",
    ] {
        expected.extend([format!("{path}.weight"), format!("{path}.bias")]);
    }
    assert_eq!(names, expected);
    let body = net.named_tensors().into_iter().filter(|e| e.name.starts_with("backbone.body."));
    assert!(body.map(|e| e.name).all(|n| !n.contains("classifier") && !n.contains("blocks.9")), "no unused parameters");
}

/// Every score starts at the prior, so the first classification loss is known: n A C (1 - alpha) p^2 -ln(1 - p), over n images.
#[test]
fn an_untrained_head_scores_the_prior() {
    tch::manual_seed(1);
    let net = build(narrow(), RetinaNetConfig::default()).unwrap();
    let images = ImageBatch { pixels: input("images", &[1, 3, 64, 96]), sizes: vec![[64, 96]] };
    let raw = tch::no_grad(|| net.raw(&mut Eager::eval(), &images.pixels));
    let scores = raw.logits.sigmoid();
    let (low, high) = (scores.min().double_value(&[]), scores.max().double_value(&[]));
    assert!((0.0095..0.01).contains(&low) && (0.01..0.0105).contains(&high), "{low} {high}");
    let losses = tch::no_grad(|| net.losses(&mut Eager::eval(), &images, &[Target::empty()]));
    let count = raw.logits.numel() as f64;
    let expected = count * 0.75 * 0.01f64.powi(2) * -(0.99f64.ln());
    let loss = |name: &str| losses.get(name).unwrap().double_value(&[]);
    assert!((loss("classification") / expected - 1.0).abs() < 0.01, "{} {expected}", loss("classification"));
    assert_eq!(loss("bbox_regression"), 0.0, "no objects, no box loss");
    assert!(net.detect(&images)[0].is_empty());
}

/// The same forward, read by the counter: as many anchors as are generated, multiply-adds of the head by hand.
#[test]
fn shapes_and_complexity() {
    let config = RetinaNetConfig { tower_depth: 2, tower_channels: Some(24), ..Default::default() };
    let net = build(narrow(), config).unwrap();
    let mut cost = Cost::default();
    let RawOutputs { logits, deltas } = net.raw(&mut cost, &vec![1, 3, 100, 132]);
    let anchors = net.anchors([100, 132]).boxes.len() as i64;
    assert_eq!((logits, deltas), (vec![1, anchors, 4], vec![1, anchors, 4]));
    // Grids 13x17, 7x9, 4x5, 2x3, 1x2 have 312 cells; two subnets: 32 -> 24 -> 24 -> 9 * 4.
    assert_eq!(anchors, 312 * 9);
    let head: i64 = cost.rows.iter().filter(|r| r.path.starts_with("head.")).map(|r| r.macs).sum();
    assert_eq!(head, 312 * 2 * 9 * (32 * 24 + 24 * 24 + 24 * 36));
}

#[test]
fn fused_and_unfused_agree() {
    let mut net = build(narrow(), RetinaNetConfig::default()).unwrap();
    fill(&net, "");
    let pixels = input("pixels", &[1, 3, 96, 96]).to_kind(Kind::Double);
    net.convert(tch::Device::Cpu, Kind::Double);
    let before = tch::no_grad(|| net.raw(&mut Eager::eval(), &pixels));
    net.fuse(FuseLevel::All);
    let after = tch::no_grad(|| net.raw(&mut Eager::eval(), &pixels));
    assert!(net.named_tensors().iter().all(|e| !e.name.ends_with("running_mean")), "no batch norm is left");
    for (a, b) in [(before.logits, after.logits), (before.deltas, after.deltas)] {
        let largest: f64 = a.abs().max().double_value(&[]);
        let difference: f64 = (a - b).abs().max().double_value(&[]);
        assert!(difference < 1e-12 * largest, "{difference} of {largest}");
    }
}

/// Losses go down when stepped against their own gradient, for every box loss and every kind of extra level.
#[test]
fn gradients_point_the_right_way() {
    use BoxLoss::{Giou, SmoothL1, L1};
    for (box_loss, extra) in [(L1, ExtraLevels::P6p7FromP5), (SmoothL1, ExtraLevels::P6p7FromC5), (Giou, ExtraLevels::None)] {
        tch::manual_seed(2);
        let fpn = FpnConfig { extra_levels: Some(extra), ..narrow() };
        let net = build(fpn, RetinaNetConfig { box_loss, box_loss_weight: 2.0, ..Default::default() }).unwrap();
        let images = ImageBatch { pixels: input("images", &[2, 3, 64, 96]), sizes: vec![[64, 96], [64, 80]] };
        let targets = [Target::new(&[[8.0, 8.0, 50.0, 44.0]], &[3]), Target::empty()];
        let total = || net.losses(&mut Eager::train(), &images, &targets).total();
        let before = total();
        before.backward();
        tch::no_grad(|| {
            for mut e in net.named_tensors().into_iter().filter(|e| e.tensor.grad().defined()) {
                e.tensor -= e.tensor.grad() * 1e-4;
            }
        });
        let after = total();
        assert!(after.double_value(&[]) < before.double_value(&[]), "{box_loss:?}: {before} {after}");
    }
}

#[test]
fn settings_are_read_and_refused() {
    let read = serde_json::from_str::<HeadConfig>;
    let head = read(r#"{"name": "retinanet", "tower_depth": 2, "box_loss": "smooth_l1", "anchors": {"octave_base_scale": 2}}"#);
    let HeadConfig::RetinaNet(config) = head.unwrap() else { panic!("another head") };
    assert_eq!((config.tower_depth, config.anchors.octave_base_scale, config.focal_gamma), (2, 2.0, 2.0));
    let unknown = read(r#"{"name": "retinanet", "towerdepth": 2}"#).unwrap_err().to_string();
    assert!(unknown.contains("towerdepth") && unknown.contains("tower_depth"), "{unknown}");
    assert!(serde_json::from_str::<FpnConfig>(r#"{"extra_levels": "p6p7_from_c5", "channel": 1}"#).is_err());

    let refused = |head: RetinaNetConfig, fpn: FpnConfig| build(fpn, head).unwrap_err().to_string();
    let default = RetinaNetConfig::default;
    for (head, fpn, key) in [
        (RetinaNetConfig { levels: vec![3, 6], ..default() }, narrow(), "model.head.levels: [3, 6] asked for"),
        (RetinaNetConfig { levels: vec![], ..default() }, narrow(), "model.head.levels"),
        (RetinaNetConfig { levels: vec![4, 3], ..default() }, narrow(), "model.head.levels"),
        (RetinaNetConfig { bg_iou: 0.6, ..default() }, narrow(), "model.head.bg_iou: found 0.6"),
        (RetinaNetConfig { focal_alpha: f64::NAN, ..default() }, narrow(), "model.head.focal_alpha: found NaN"),
        (RetinaNetConfig { prior_probability: 0.0, ..default() }, narrow(), "model.head.prior_probability: found 0"),
        (RetinaNetConfig { tower_channels: Some(0), ..default() }, narrow(), "model.head.tower_channels: found 0"),
        (
            RetinaNetConfig { group_norm: true, tower_channels: Some(48), ..default() },
            narrow(),
            "model.head.tower_channels: found 48",
        ),
        (default(), FpnConfig { channels: 0, ..narrow() }, "model.fpn.channels: 0"),
    ] {
        let message = refused(head, fpn);
        assert!(message.starts_with(key) && message.lines().count() == 1, "{message}");
    }
}

#[test]
fn a_detector_has_the_classes_and_levels_of_its_head() {
    let body = BackboneConfig { width: 0.5, ..Default::default() }.build_features().unwrap();
    let detector: Detector = HeadConfig::default().build(body, &narrow(), 7).unwrap();
    assert_eq!(detector.classes(), 7);
    assert_eq!(detector.backbone().fpn.levels(), [3, 4, 5, 6, 7]);
    assert_eq!(detector.class_layers(), ["head.classification_head.cls_logits"]);
    assert_eq!(detector.into_body().taps().len(), 3);
}
