//! A small RetinaNet on built-in pictures: it learns, resumes to the same bits, and its weights file serves every command.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::alone;
use repghost_backbone::weights::{self, detect_form, Form};
use repghost_backbone::FuseLevel;
use repghost_train::config::{Experiment, Loaded};
use repghost_train::detection::engine::LibtorchPool;
use repghost_train::detection::model;
use repghost_train::error::TrainError;
use repghost_train::evaluate::evaluate_weights;
use repghost_train::predict::{predict, PredictOptions, Predicted};
use repghost_train::run::{metrics, Record};
use repghost_train::train::{train, TrainOptions, TrainOutcome};
use repghost_train::trainer::RunOutcome;
use repghost_train::{features, fuse, Predictor, WeightsFile};

const SMALL: &str = "
model:
  backbone: {name: repghostnet, width: 0.25}
  fpn: {channels: 16}
  head: {name: retinanet, tower_depth: 1}
data:
  source: shapes
  workers: 1
  shapes: {train_images: 4, val_images: 3, picture: {size: [96, 96], empty_every: 0}}
  augment: {resize: {size: 96}, hflip: 0.0}
train:
  epochs: 30
  batch_size: 4
  optimizer: {name: adamw, lr: 5e-3, weight_decay: 0.01}
  schedule: {name: constant}
  eval_every: 0
  log_every: 1
  checkpoint: {every_epochs: 0}
";

fn loaded(dir: &Path, overrides: &[&str]) -> Loaded {
    let file = dir.join("small.yaml");
    std::fs::write(&file, SMALL).unwrap();
    Loaded::read(&file, &overrides.iter().map(|s| s.to_string()).collect::<Vec<_>>()).unwrap()
}

fn run(loaded: &Loaded, dir: &Path, resume: bool) -> Result<TrainOutcome, TrainError> {
    let options = TrainOptions { run_dir: Some(dir.to_path_buf()), resume, quiet: true, ..Default::default() };
    train(loaded, &options, |_| ())
}

fn losses(dir: &Path) -> Vec<f64> {
    let records = metrics::read(&dir.join("metrics.jsonl")).unwrap();
    records.iter().filter_map(|r| if let Record::Step(s) = r { Some(s.loss) } else { None }).collect()
}

/// Thirty steps on the same four pictures; then eval, predict, features and fuse on the weights that came out.
#[test]
fn it_learns_and_its_weights_serve_every_command() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let loaded = loaded(dir.path(), &[]);
    let folder = dir.path().join("run");
    let outcome = run(&loaded, &folder, false).unwrap();
    assert_eq!(outcome.end, RunOutcome::Finished);
    let losses = losses(&folder);
    assert_eq!(losses.len(), 30);
    let (first, last) = (losses[0], losses[27..].iter().sum::<f64>() / 3.0);
    assert!(last < 0.6 * first, "the loss fell from {first} to {last} only");
    for file in
        ["config.yaml", "environment.json", "metrics.json", "detections.json", "curves.png", "predictions/step_00000030.png"]
    {
        assert!(folder.join(file).is_file(), "{file} is missing");
    }

    // The run folder is an experiment, and evaluation repeats what the run measured (which was not folded).
    let again = Loaded::read(&folder.join("config.yaml"), &[]).unwrap();
    assert_eq!(again.experiment, loaded.experiment);
    let best = folder.join("weights/best.safetensors");
    let e = &again.experiment;
    let stop = AtomicBool::new(false);
    let mut seen = vec![];
    let measured = evaluate_weights(e, file(&best), &stop, &mut |done, total| seen.push((done, total))).unwrap().unwrap();
    assert_eq!(seen, [(1, 3), (2, 3), (3, 3)]);
    let text = std::fs::read_to_string(folder.join("metrics.json")).unwrap();
    let in_run: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, value) in measured.evaluations[0].numbers.named() {
        let expected = in_run["bbox"][name].as_f64().unwrap();
        assert!((value - expected).abs() < 0.02, "{name}: {value} against {expected} in the run");
    }
    measured.write(&dir.path().join("eval")).unwrap();
    measured.plot(&dir.path().join("eval")).unwrap();
    assert!(dir.path().join("eval/precision_recall_bbox.png").is_file());
    stop.store(true, Ordering::Relaxed);
    assert!(evaluate_weights(e, file(&best), &stop, &mut |_, _| ()).unwrap().is_none(), "a raised flag stops it");

    // Folded weights give the same detections.
    let fused = dir.path().join("fused.safetensors");
    let report = fuse::fuse(e, file(&best), &[], FuseLevel::All, &fused).unwrap();
    assert!(report.difference <= 1e-4 * report.largest.max(1.0), "{report:?}");
    assert!(report.tensors[1] < report.tensors[0]);
    assert_eq!(detect_form(&weights::read(&fused).unwrap()), Form::Folded);
    let twice = fuse::fuse(e, file(&fused), &[], FuseLevel::All, &dir.path().join("x")).unwrap_err();
    assert!(twice.to_string().contains("nothing to fold"), "{twice}");

    let pictures = dir.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    for i in 0..2 {
        let config = repghost_coco::shapes::ShapesConfig { size: [120, 160], ..Default::default() };
        let (image, _) = repghost_coco::shapes::generate(5, i, &config);
        image.save(pictures.join(format!("{i}.png"))).unwrap();
    }
    std::fs::write(pictures.join("broken.jpg"), b"no image").unwrap();
    let mut found = vec![];
    for (weights, output) in [(&best, "out_train"), (&fused, "out_fused")] {
        let output = dir.path().join(output);
        let predicted = predicted(e, weights, &pictures, &output);
        assert_eq!((predicted.images, predicted.unreadable.len()), (2, 1));
        assert!(predicted.unreadable[0].contains("broken.jpg"));
        assert!(output.join("0.png").is_file() && output.join("1.png").is_file());
        let text = std::fs::read_to_string(output.join("detections.json")).unwrap();
        found.push(serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap());
    }
    assert!(!found[0].is_empty(), "nothing was found at all");
    assert_same(&found[0], &found[1], 1e-3);
    for a in &found[0] {
        let bbox = bbox(a);
        assert!(bbox[0] >= -0.01 && bbox[1] >= -0.01 && bbox[0] + bbox[2] <= 160.01 && bbox[1] + bbox[3] <= 120.01, "{bbox:?}");
    }

    // The library's short way finds the same, in the same pixels.
    let predictor =
        Predictor::open_with(&PredictOptions { score_threshold: Some(0.1), ..Default::default() }.applied(e).unwrap(), &best);
    let predictor = predictor.unwrap();
    let image = image::open(pictures.join("0.png")).unwrap().to_rgb8();
    let objects = predictor.detect(&image).unwrap();
    let listed: Vec<_> = found[0].iter().filter(|d| d["file_name"] == "0.png").cloned().collect();
    let rows: Vec<_> = objects
        .iter()
        .map(|o| serde_json::json!({"file_name": "0.png", "category_id": o.class_id, "score": o.score, "bbox": o.bbox}))
        .collect();
    assert_same(&rows, &listed, 1e-4);
    assert!(objects.iter().all(|object| predictor.classes().iter().any(|c| c.name == object.class)));
    // Experiment and classes come from the file, or are numbered where it names none.
    assert_eq!(Predictor::open(&best).unwrap().experiment().model, e.model);
    let mut bare = weights::read(&best).unwrap();
    let names = predictor.classes().len();
    bare.metadata.clear();
    let plain = dir.path().join("plain.safetensors");
    weights::write(&plain, &bare).unwrap();
    let numbered = Predictor::open_with(e, &plain).unwrap();
    let expected: Vec<String> = (0..names).map(|i| i.to_string()).collect();
    assert_eq!(numbered.classes().iter().map(|c| c.name.clone()).collect::<Vec<_>>(), expected);
    let refused = Predictor::open(&plain).err().unwrap().to_string();
    assert!(refused.contains("does not describe its network"), "{refused}");

    // What is found in an image doesn't depend on the others: three aspect ratios, one at a time and together.
    let mixed = dir.path().join("mixed");
    std::fs::create_dir(&mixed).unwrap();
    for (i, size) in [[120, 160], [160, 120], [80, 200], [120, 160]].into_iter().enumerate() {
        let config = repghost_coco::shapes::ShapesConfig { size, ..Default::default() };
        let (image, _) = repghost_coco::shapes::generate(6, i as u64, &config);
        image.save(mixed.join(format!("{i}.png"))).unwrap();
    }
    let with_batch = |batch_size: usize, output: &str| {
        let mut e = e.clone();
        e.eval.batch_size = batch_size;
        predicted(&e, &fused, &mixed, &dir.path().join(output));
        let text = std::fs::read_to_string(dir.path().join(output).join("detections.json")).unwrap();
        serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap()
    };
    let (single, together) = (with_batch(1, "one"), with_batch(4, "four"));
    assert!(!single.is_empty(), "nothing was found at all");
    assert_same(&single, &together, 1e-4);

    // Maps by level name, of the padded image.
    let maps = dir.path().join("maps.safetensors");
    let shapes = features::features(e, file(&best), &[pictures.join("0.png")], &maps).unwrap();
    let names: Vec<&str> = shapes.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["C3", "C4", "C5", "P3", "P4", "P5", "P6", "P7"]);
    assert_eq!(shapes[0].1[2..], [12, 12], "72 x 96 is padded to 96 x 96, and C3 has stride 8");
    assert_eq!(weights::read(&maps).unwrap().len(), 8);
}

fn bbox(row: &serde_json::Value) -> [f64; 4] {
    serde_json::from_value(row["bbox"].clone()).unwrap()
}

/// The same objects in any order: image and class equal, scores within `tolerance`, boxes within a tenth of a pixel.
fn assert_same(a: &[serde_json::Value], b: &[serde_json::Value], tolerance: f64) {
    // Above 1 for pairs that are none.
    let apart = |a: &serde_json::Value, b: &serde_json::Value| {
        let score = |row: &serde_json::Value| row["score"].as_f64().unwrap();
        let corners = bbox(a).iter().zip(bbox(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        match (&a["file_name"], &a["category_id"]) == (&b["file_name"], &b["category_id"]) {
            true => (corners / 0.1).max((score(a) - score(b)).abs() / tolerance),
            false => f64::INFINITY,
        }
    };
    let (_, worst) = repghost_testing::pair(a, b, apart);
    assert!(worst <= 1.0, "{worst} times the tolerance apart, {} and {} rows", a.len(), b.len());
}

fn file(path: &Path) -> WeightsFile {
    WeightsFile::read(path).unwrap()
}

fn predicted(e: &Experiment, weights: &Path, images: &Path, output: &Path) -> Predicted {
    let options = PredictOptions {
        images: vec![images.to_path_buf()],
        output: output.to_path_buf(),
        score_threshold: Some(0.1),
        ..Default::default()
    };
    let e = options.applied(e).unwrap();
    let pool = LibtorchPool::new(&e, model::load(&e, file(weights)).unwrap());
    predict(&e, &pool, &options, &AtomicBool::new(false), &mut |_, _| ()).unwrap().unwrap()
}

/// Crops give a batch images of several shapes: averages over each image alone change the losses, the network learns, and a run repeats.
#[test]
fn means_over_images_train() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let train = |name: &str, means: &str| {
        let overrides = ["data.augment.iou_crop={}", "data.workers=0", "train.epochs=20", means];
        let folder = dir.path().join(name);
        run(&loaded(dir.path(), &overrides), &folder, false).unwrap();
        losses(&folder)
    };
    let (image, batch) = (train("image", "train.means=image"), train("batch", "train.means=batch"));
    assert_ne!(image[0], batch[0], "the padding takes part in no average");
    let last = image[17..].iter().sum::<f64>() / 3.0;
    assert!(last < 0.8 * image[0], "the loss fell from {} to {last} only", image[0]);
    assert_eq!(image, train("again", "train.means=image"));
}

#[test]
fn a_resumed_detector_has_the_same_bits() {
    let _alone = alone();
    resumed_is_whole(1);
}

/// Copies draw nothing from each other's threads, and the first one's running statistics are in the checkpoint.
#[test]
fn a_resumed_detector_with_copies_has_the_same_bits() {
    let _alone = alone();
    resumed_is_whole(2);
}

fn resumed_is_whole(replicas: usize) {
    let dir = tempfile::tempdir().unwrap();
    let augmented =
        ["data.augment.hflip=0.5", "data.augment.photometric={}", "data.shapes.train_images=10", "train.ema={decay: 0.9}"];
    let replicas = format!("train.replicas={replicas}");
    let with = |steps: &str| loaded(dir.path(), &[&augmented[..], &[steps, replicas.as_str()]].concat());
    run(&with("train.max_steps=5"), &dir.path().join("whole"), false).unwrap();
    run(&with("train.max_steps=3"), &dir.path().join("parts"), false).unwrap();
    let outcome = run(&with("train.max_steps=5"), &dir.path().join("parts"), true).unwrap();
    assert_eq!(outcome.end, RunOutcome::Finished);
    let file = |run: &str, file: &str| std::fs::read(dir.path().join(run).join(file)).unwrap();
    let tensors = |run: &str| weights::read(dir.path().join(run).join("checkpoints/step_00000005.safetensors")).unwrap();
    let (a, b) = (tensors("whole"), tensors("parts"));
    assert!(a.names().eq(b.names()));
    for ((name, x), (_, y)) in a.tensors.iter().zip(&b.tensors) {
        assert!(x.equal(y), "{name} differs");
    }
    assert_eq!(losses(&dir.path().join("whole")), losses(&dir.path().join("parts")));
    assert!(file("whole", "detections.json") == file("parts", "detections.json"));
}

#[test]
fn what_cannot_work_is_refused_in_a_line() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    let err = run(&loaded(dir.path(), &[]), &folder, false).unwrap_err();
    assert!(err.to_string().contains("not empty"), "{err}");
    let err = run(&loaded(dir.path(), &[]), &dir.path().join("none"), true).unwrap_err();
    assert!(err.to_string().contains("nothing to resume"), "{err}");
    // Freezing noise: the experiment is refused while it is read, and a changed one when the model is built.
    let mut noise = loaded(dir.path(), &[]);
    noise.experiment.train.batch_norm.use_running_stats = true;
    let err = run(&noise, &dir.path().join("r"), false).unwrap_err();
    assert!(err.to_string().contains("nothing was loaded"), "{err}");
    assert!(!dir.path().join("r").exists(), "nothing was written");
}
