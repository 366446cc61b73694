//! A detector file with score thresholds finds what the file without them finds above them, and nothing else: every head, both ways of
//! suppression, both precisions. (The thresholds are applied to what leaves the suppression, whatever the backbone.)

use repghost_backbone::synthetic::input;
use repghost_backbone::tree::Tree;
use repghost_backbone::weights::Form;
use repghost_backbone::{BackboneConfig, FuseLevel};
use repghost_export::engine::exported::ExportedDetector;
use repghost_export::metadata::Metadata;
use repghost_export::model::{Model, Network};
use repghost_export::onnx::{ElementType, Nms};
use repghost_export::runtime::{onnxruntime, REFERENCE};
use repghost_export::spec::{BatchSize, ExportSpec, Part};
use repghost_export::{parts, synthetic};
use repghost_heads::HostDetections;
use repghost_testing::need;
use repghost_train::engine::Pictures;

const SIZE: [i64; 2] = [64, 96];
const CLASSES: usize = 3;

fn detect(model: &Model, nms: Nms, precision: ElementType, pixels: &[f32]) -> HostDetections {
    let spec = ExportSpec { precision, batch: BatchSize::Fixed(1), size: SIZE };
    let built = parts::build(model, Part::Detector, &spec, nms, &Metadata(vec![])).unwrap();
    let mut engine = ExportedDetector::built(&built, None, &model.classes).unwrap().engine(1, REFERENCE).unwrap();
    engine.detect(Pictures { pixels, shape: [1, 3, SIZE[0], SIZE[1]], sizes: &[SIZE] }).unwrap().remove(0)
}

#[test]
fn a_file_with_thresholds_equals_the_filtered_one() {
    let Some(_) = need("onnxruntime", onnxruntime::find(), "make setup") else { return };
    let _guard = tch::no_grad_guard();
    let backbone = BackboneConfig { width: 0.5, ..BackboneConfig::default() };
    for head in repghost_heads::HeadConfig::NAMES {
        let mut e = synthetic::narrow(&backbone, head).unwrap();
        let pixels = input("gate", &[1, 3, SIZE[0], SIZE[1]]) * 2.0;
        let mut detector = synthetic::detector(&mut e, CLASSES, &pixels).unwrap();
        detector.fuse(FuseLevel::All);
        let network = Network::Detector(Box::new(detector));
        let mut model = Model { network, classes: synthetic::classes(CLASSES), form: Form::Folded, cutoffs: vec![] };
        let values = Vec::<f32>::try_from(pixels.reshape([-1])).unwrap();
        let precisions = [ElementType::F32, ElementType::F16];
        for (nms, precision) in [Nms::PLAIN, Nms::Onnx].into_iter().flat_map(|nms| precisions.map(|p| (nms, p))) {
            model.cutoffs.clear();
            let all = detect(&model, nms, precision, &values);
            // The median score of each class, so that about half are hidden; nothing of the last class is shown.
            let median = |class: i64| {
                let mut scores: Vec<f32> = (0..all.len()).filter(|&i| all.labels[i] == class).map(|i| all.scores[i]).collect();
                scores.sort_by(f32::total_cmp);
                scores.get(scores.len() / 2).map_or(0.5, |s| f64::from(*s))
            };
            model.cutoffs = vec![median(0), median(1), 1.5];
            let shown = detect(&model, nms, precision, &values);
            let kept: Vec<usize> =
                (0..all.len()).filter(|&i| all.scores[i] >= model.cutoffs[all.labels[i] as usize] as f32).collect();
            assert!(!kept.is_empty() && kept.len() < all.len(), "{head} {nms:?} {precision:?}: {} of {}", kept.len(), all.len());
            let of = |d: &HostDetections, i: usize| (d.boxes[i], d.scores[i], d.labels[i]);
            let expected: Vec<_> = kept.iter().map(|&i| of(&all, i)).collect();
            let found: Vec<_> = (0..shown.len()).map(|i| of(&shown, i)).collect();
            assert_eq!(found, expected, "{head} {nms:?} {precision:?}");
        }
    }
}
