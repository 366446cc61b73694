//! What is found in an image depends on that image alone: not on the others of the call, their order, the batch size or the runtime.
//! Squeeze-and-excitation and group norm average over maps, so each of them would see a neighbour's padding.

use std::sync::atomic::AtomicBool;

use repghost_backbone::weights::{self, Form, StateDict};
use repghost_backbone::BackboneConfig;
use repghost_coco::shapes::{ShapesConfig, ShapesSource};
use repghost_coco::{DataError, Detection, Sample, Source};
use repghost_export::engine_pool::ExportedPool;
use repghost_export::runtime::{onnxruntime, REFERENCE};
use repghost_export::synthetic;
use repghost_testing::need;
use repghost_train::chosen_thresholds::Cutoffs;
use repghost_train::detection::engine::LibtorchPool;
use repghost_train::detection::model::{self, LoadedDetector};
use repghost_train::engine::EnginePool;
use repghost_train::inference::{run, Job};
use repghost_train::Experiment;

/// Heights and widths of the pictures, in turn.
const SIZES: [[u32; 2]; 3] = [[96, 160], [160, 96], [128, 128]];
const IMAGES: usize = 9;
const CLASSES: usize = 3;

/// Pictures of three aspect ratios, in some order.
struct Mixed(Vec<usize>);

impl Source for Mixed {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn aspect(&self, _: usize) -> f64 {
        1.0
    }

    fn load(&self, index: usize) -> Result<Sample, DataError> {
        let picture = self.0[index];
        let config = ShapesConfig { size: SIZES[picture % SIZES.len()], ..ShapesConfig::default() };
        let mut sample = ShapesSource { seed: 5, first: picture as u64, count: 1, config, masks: false }.load(0)?;
        sample.target.image_id = picture as i64;
        Ok(sample)
    }
}

/// Detections by image.
fn found(pool: &dyn EnginePool, e: &Experiment, order: Vec<usize>) -> Vec<Vec<Detection>> {
    let source = Mixed(order.clone());
    let job = Job {
        source: &source,
        pool,
        classes: pool.classes(),
        score_threshold: e.eval.score_threshold,
        cutoffs: Cutoffs::default(),
        skip_unreadable: false,
        threads: Some(2),
        group: None,
    };
    let images = run(&job, &AtomicBool::new(false), &mut |_, _| (), None).unwrap().unwrap().images;
    let mut by_image = vec![vec![]; order.len()];
    images.into_iter().for_each(|image| by_image[image.image_id as usize] = image.objects);
    by_image
}

/// Every detection of `one` has a partner in `other`. Those near the threshold may be missing, as the last bits differ.
fn assert_same(what: &str, one: &[Vec<Detection>], other: &[Vec<Detection>], threshold: f64) {
    const NEAR: f64 = 1e-3;
    let mut compared = 0;
    for (image, (one, other)) in one.iter().zip(other).enumerate() {
        for a in one.iter().filter(|a| a.score > threshold + NEAR) {
            let boxes = |d: &Detection| d.bbox.unwrap_or_default();
            let partner = other.iter().any(|b| {
                a.category_id == b.category_id
                    && (a.score - b.score).abs() < 1e-4
                    && boxes(a).iter().zip(boxes(b)).all(|(a, b)| (a - b).abs() < 0.02)
            });
            assert!(partner, "{what}: image {image}: {a:?} is not among {other:?}");
            compared += 1;
        }
    }
    assert!(compared > 20, "{what}: only {compared} detections were compared");
}

#[test]
fn three_aspect_ratios_give_one_result_in_any_batch_order_and_runtime() {
    let with_runtime = need("onnxruntime", onnxruntime::find(), "make setup").is_some();
    // A backbone with squeeze-and-excitation; FCOS has group norm in its towers.
    ["retinanet", "fcos"].into_iter().for_each(|head| three_aspect_ratios(head, with_runtime));
}

fn three_aspect_ratios(head: &str, with_runtime: bool) {
    let mut e = synthetic::narrow(&BackboneConfig { width: 0.5, ..BackboneConfig::default() }, head).unwrap();
    e.data.augment.resize.size = Some(160);
    // All candidates stay, so that no near-tie decides which are kept.
    e.eval.nms_threshold = 1.0;
    e.eval.max_detections = 1000;
    let pixels = repghost_backbone::synthetic::input("mixed", &[1, 3, 160, 160]) * 2.0;
    let detector = synthetic::detector(&mut e, CLASSES, &pixels).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    weights::write(&file, &StateDict::of(&detector, "")).unwrap();
    let loaded =
        LoadedDetector { detector, classes: synthetic::classes(CLASSES), form: Form::Train, metadata: Default::default() };
    let order = || (0..IMAGES).collect::<Vec<_>>();
    e.eval.batch_size = 1;
    let mut with_batch = e.clone();
    let pool = LibtorchPool::new(&e, loaded);
    let alone = found(&pool, &e, order());

    with_batch.eval.batch_size = 8;
    let detector = model::load(&with_batch, repghost_train::WeightsFile::read(&file).unwrap()).unwrap();
    let pool = LibtorchPool::new(&with_batch, LoadedDetector { classes: synthetic::classes(CLASSES), ..detector });
    let together = found(&pool, &with_batch, order());
    assert_same("batch 8", &alone, &together, e.eval.score_threshold);
    assert_same("batch 8, the other way round", &together, &alone, e.eval.score_threshold);
    let backwards = found(&pool, &with_batch, order().into_iter().rev().collect());
    assert_same("another order", &alone, &backwards, e.eval.score_threshold);

    if with_runtime {
        let detector = model::load(&e, repghost_train::WeightsFile::read(&file).unwrap()).unwrap();
        let loaded = LoadedDetector { classes: synthetic::classes(CLASSES), ..detector };
        let pool = ExportedPool::of_detector(&e, loaded, REFERENCE).unwrap();
        let exported = found(&pool, &e, order());
        assert_same("onnxruntime", &alone, &exported, e.eval.score_threshold);
        assert_same("onnxruntime, the other way round", &exported, &alone, e.eval.score_threshold);
    }
}
