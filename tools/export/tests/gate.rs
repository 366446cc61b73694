//! The gate over all heads, both precisions, both ways of suppression, with and without score thresholds, on a family of each kind. (`make gate`
//! goes over all backbones.)

use repghost_backbone::BackboneConfig;
use repghost_export::onnx::ElementType;
use repghost_export::parity::check::tolerance;
use repghost_export::parity::table::{gate_experiment, gate_row, PARTS};
use repghost_export::parity::{Comparison, ParityReport};
use repghost_export::runtime::onnxruntime;
use repghost_export::synthetic;
use repghost_testing::need;
use repghost_train::config::HeadConfig;

/// Detections of each run of a case.
fn detections_of(report: &ParityReport, case: &str) -> Vec<usize> {
    let all = report.comparisons.iter().filter_map(|c| match c {
        Comparison::Detections { input, agreement } if input.starts_with(case) => Some(agreement.total),
        _ => None,
    });
    all.collect()
}

#[test]
fn every_part_of_every_head_agrees() {
    let Some(_) = need("onnxruntime", onnxruntime::find(), "make setup") else { return };
    let small = |name: &str, width| BackboneConfig { width, ..BackboneConfig::named(name) };
    for backbone in [small("repghostnet", 0.5), small("ghostnetv2", 0.5), small("resnet18", 1.0)] {
        for head in repghost_heads::HeadConfig::NAMES {
            for precision in [ElementType::F32, ElementType::F16] {
                // Empty and crowded images are tried with one backbone: they concern what follows it.
                let with_cases = backbone.name == "repghostnet";
                let row = match with_cases {
                    true => gate_row(&backbone, head, precision),
                    false => gate_experiment(synthetic::narrow(&backbone, head).unwrap(), 3, precision),
                };
                let row = row.unwrap();
                println!("{row}");
                assert_eq!(row.cells.len(), PARTS.len());
                assert!(row.worst() <= tolerance(precision));
                // About half of the detections are above thresholds that lie in their middle.
                assert_eq!(row.shown.len(), 2);
                assert!(row.shown.iter().all(|s| 0 < s.shown && s.shown < s.all), "{head}: {:?}", row.shown);
                for (part, cell) in PARTS.iter().zip(&row.cells) {
                    let agreement = cell.detections();
                    assert_eq!(agreement.total > 20, part.is_detector(), "{head} {part:?}: {agreement:?}");
                    let of = |case: &str| detections_of(cell, case);
                    if part.is_detector() && with_cases {
                        // All batches ran, and none has a detection.
                        assert!(!of("no detections").is_empty() && of("no detections").iter().all(|total| *total == 0));
                        let crowded = of("crowded").into_iter().max();
                        assert_eq!(crowded.is_some_and(|most| most > 40), precision == ElementType::F32, "{head}: {crowded:?}");
                    }
                }
            }
        }
    }
}

/// torchvision's heads have 91 outputs, of which eleven are no class: the file has classes all the same, from 0 to 79.
#[test]
fn heads_numbered_by_cocos_ids_have_classes() {
    let Some(_) = need("onnxruntime", onnxruntime::find(), "make setup") else { return };
    for head in repghost_heads::HeadConfig::NAMES {
        let mut e = synthetic::narrow(&BackboneConfig { width: 0.5, ..BackboneConfig::default() }, head).unwrap();
        match &mut e.model.head {
            HeadConfig::Detector(repghost_heads::HeadConfig::RetinaNet(config)) => config.coco_91 = true,
            HeadConfig::Detector(repghost_heads::HeadConfig::Fcos(config)) => config.coco_91 = true,
            HeadConfig::Detector(repghost_heads::HeadConfig::FasterRcnn(config)) => config.coco_91 = true,
            HeadConfig::Detector(repghost_heads::HeadConfig::MaskRcnn(config)) => config.coco_91 = true,
            other => panic!("{other:?} was not asked for"),
        }
        let row = gate_experiment(e, 80, ElementType::F32).unwrap();
        println!("{row}");
        for (part, cell) in PARTS.iter().zip(&row.cells) {
            assert_eq!(cell.detections().total > 20, part.is_detector(), "{head} {part:?}");
        }
    }
}
