//! Prices of whole experiments against torchvision's parameter counts and counts by hand.

use repghost_backbone::{BackboneConfig, Tree};
use repghost_train::analyze::{self, report, Analysis, Options};
use repghost_train::config::{Experiment, HeadConfig, Task};
use repghost_train::detection::model;

fn on(backbone: &str, head: HeadConfig) -> Experiment {
    let mut e = Experiment::default();
    e.model.backbone = BackboneConfig::named(backbone);
    e.model.head = head;
    e
}

fn parts(a: &Analysis) -> Vec<&str> {
    a.parts.iter().map(|row| row.part.as_str()).collect()
}

/// torchvision's `sum(p.numel() for p in m.parameters())` of `retinanet_resnet50_fpn` and `maskrcnn_resnet50_fpn` with batch norm; with
/// FrozenBatchNorm2d both have 53 120 less, which is what their published `num_params` say.
#[test]
fn detectors_have_torchvisions_parameters() {
    let size = Some([96, 128]);
    let mut retinanet = on("resnet50", HeadConfig::default());
    let options = Options { size, classes: Some(91) };
    assert_eq!(analyze::experiment(&retinanet, &options).unwrap().total.unfused.parameters, 34_068_119);
    retinanet.model.backbone.norm = repghost_backbone::NormKind::Frozen;
    assert_eq!(analyze::experiment(&retinanet, &options).unwrap().total.unfused.parameters, 34_014_999);
    // Our classes do not count the background; torchvision's 91 do.
    let maskrcnn = on("resnet50", HeadConfig::Detector(repghost_heads::HeadConfig::MaskRcnn(Default::default())));
    let options = Options { size, classes: Some(90) };
    assert_eq!(analyze::experiment(&maskrcnn, &options).unwrap().total.unfused.parameters, 44_454_513);
}

#[test]
fn parts_cover_the_network_once() {
    for head in [HeadConfig::default(), HeadConfig::Detector(repghost_heads::HeadConfig::MaskRcnn(Default::default()))] {
        let e = on("repghostnet", head);
        let a = analyze::experiment(&e, &Options { size: Some([64, 96]), classes: Some(3) }).unwrap();
        let mut detector = model::build(&e, 3).unwrap();
        assert_eq!(a.total.unfused.parameters, detector.parameter_count(), "{}", a.name);
        detector.fuse(repghost_backbone::FuseLevel::All);
        assert_eq!(a.total.fused.parameters, detector.parameter_count(), "{}", a.name);
        let sum: i64 = a.parts.iter().map(|row| row.unfused.macs).sum();
        assert_eq!(a.total.unfused.macs, sum);
        assert!(a.total.fused.activation_bytes < a.total.unfused.activation_bytes);
    }
}

/// RetinaNet's head on P3 to P7 of a 64 x 96 image: grids 8x12, 4x6, 2x3, 1x2, 1x1 have 129 cells; both subnets have four 3x3
/// convolutions of 256 channels and one to nine anchors.
#[test]
fn retinanets_head_by_hand() {
    let e = on("repghostnet", HeadConfig::default());
    let a = analyze::experiment(&e, &Options { size: Some([64, 96]), classes: Some(3) }).unwrap();
    assert_eq!(parts(&a), ["C2", "C3", "C4", "C5", "fpn", "head.classification_head", "head.regression_head"]);
    let tower = 4 * 256 * 256 * 9;
    assert_eq!(a.parts[5].unfused.macs, 129 * (tower + 256 * 9 * 9 * 3));
    assert_eq!(a.parts[6].unfused.macs, 129 * (tower + 256 * 9 * 9 * 4));
    // Weights count once, not once a level.
    assert_eq!(a.parts[6].unfused.parameters, tower + 4 * 256 + 256 * 9 * 9 * 4 + 9 * 4);
}

/// The second stage runs on as many regions as inference proposes: two fully connected layers and the predictors, 1000 times.
#[test]
fn mask_rcnns_second_stage_by_hand() {
    let e = on("repghostnet", HeadConfig::Detector(repghost_heads::HeadConfig::MaskRcnn(Default::default())));
    let a = analyze::experiment(&e, &Options { size: Some([64, 96]), classes: Some(3) }).unwrap();
    assert!(a.name.ends_with("1000 proposals, 100 masks"), "{}", a.name);
    let of = |name: &str| a.parts.iter().find(|row| row.part == name).unwrap_or_else(|| panic!("{:?}", parts(&a))).unfused.macs;
    assert_eq!(of("roi_heads.box_head"), 1000 * (256 * 49 * 1024 + 1024 * 1024));
    assert_eq!(of("roi_heads.box_predictor"), 1000 * 1024 * (4 + 4 * 4));
    assert_eq!(of("roi_heads.mask_head"), 100 * 196 * 4 * 256 * 256 * 9);
}

#[test]
fn sizes_and_classes_come_from_the_experiment() {
    let mut e = on("repghostnet", HeadConfig::default());
    e.data.augment.resize.min_sizes = vec![150, 200];
    e.data.augment.resize.max_size = 333;
    e.data.classes = Some(vec!["a".into(), "b".into()]);
    let a = analyze::experiment(&e, &Options::default()).unwrap();
    assert_eq!((a.size, a.classes), ([224, 352], 2));
    let mut e = on("mobilenet_v2", HeadConfig::Classifier(Default::default()));
    e.task = Task::Classification;
    let a = analyze::experiment(&e, &Options::default()).unwrap();
    assert_eq!((a.size, a.classes, a.total.unfused.parameters), ([224, 224], 1000, 3_504_872));
    let config = BackboneConfig::default();
    for (size, classes) in [([32, 224], 5), ([224, 100_000], 5), ([224, 224], 0)] {
        assert!(analyze::backbone(&config, &Options { size: Some(size), classes: Some(classes) }).is_err(), "{size:?} {classes}");
    }
}

#[test]
fn reports_say_the_same_in_every_format() {
    let a = analyze::backbone(&BackboneConfig { width: 0.5, ..Default::default() }, &Options::default()).unwrap();
    let table = report::table(std::slice::from_ref(&a));
    let total = table.lines().last().unwrap();
    assert_eq!(total.split_whitespace().collect::<Vec<_>>()[..5], ["total", "2313968", "2302956", "43.31", "43.31"]);
    let csv = report::csv(std::slice::from_ref(&a));
    assert_eq!(csv.lines().count(), 1 + 2 * 6);
    let bytes = a.total.fused.activation_bytes;
    assert_eq!(
        csv.lines().last().unwrap(),
        format!("repghostnet 0.5x,1000,224,224,total,fused,2302956,{},{bytes}", a.total.fused.macs)
    );
    let json: serde_json::Value = serde_json::from_str(&report::json(&[a]).unwrap()).unwrap();
    assert_eq!(json[0]["total"]["fused"]["parameters"], 2_302_956);
    assert_eq!(json[0]["parts"][0]["part"], "C2");
}
