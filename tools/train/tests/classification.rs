//! A small classifier on coloured noise: it learns, resumes to the same bits, is tuned to other classes, and serves every command.

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use common::alone;
use repghost_backbone::weights::{self, detect_form, Form};
use repghost_backbone::FuseLevel;
use repghost_coco::shapes::{generate, ShapesConfig};
use repghost_train::classification::evaluate::evaluate_weights;
use repghost_train::classification::predict::predict;
use repghost_train::config::Loaded;
use repghost_train::dry_run::dry_run;
use repghost_train::error::TrainError;
use repghost_train::fuse;
use repghost_train::predict::PredictOptions;
use repghost_train::run::{metrics, Record};
use repghost_train::train::{train, TrainOptions, TrainOutcome};
use repghost_train::trainer::RunOutcome;
use repghost_train::WeightsFile;

const SMALL: &str = "
task: classification
data:
  source: image_folder
  train: {images: TRAIN}
  val: {images: VAL}
  workers: 1
  classify: {size: 32, scale: [0.6, 1.0], random_erasing: 0.1}
model:
  backbone: {name: repghostnet, width: 0.25}
  head: {name: classifier}
train:
  epochs: 16
  batch_size: 8
  optimizer: {name: sgd, lr: 0.05, nesterov: true, no_decay_on_1d: true}
  schedule: {name: cosine, step: per_epoch, warmup_epochs: 1}
  ema: {decay: 0.8}
  eval_every: 0
  log_every: 1
";

/// `classes` classes told by their tint, `count` images each, on busy pictures.
fn folder(root: &Path, classes: &[&str], first: u64, count: u64) {
    let config = ShapesConfig { size: [64, 64], max_objects: 2, ..ShapesConfig::default() };
    for (number, class) in classes.iter().enumerate() {
        std::fs::create_dir_all(root.join(class)).unwrap();
        for i in 0..count {
            let (mut image, _) = generate(9, first + i, &config);
            for pixel in image.pixels_mut() {
                for (c, value) in pixel.0.iter_mut().enumerate() {
                    *value = if c == number % 3 { *value / 4 + 190 } else { *value / 4 + 20 * (number / 3) as u8 };
                }
            }
            image.save(root.join(class).join(format!("{i}.png"))).unwrap();
        }
    }
}

fn loaded(dir: &Path, overrides: &[&str]) -> Loaded {
    let file = dir.join("small.yaml");
    let place = |name: &str| dir.join(name).display().to_string();
    std::fs::write(&file, SMALL.replace("TRAIN", &place("train")).replace("VAL", &place("val"))).unwrap();
    Loaded::read(&file, &overrides.iter().map(|s| s.to_string()).collect::<Vec<_>>()).unwrap()
}

fn run(loaded: &Loaded, dir: &Path, resume: bool) -> Result<(TrainOutcome, Vec<String>), TrainError> {
    let options = TrainOptions { run_dir: Some(dir.to_path_buf()), resume, quiet: true, ..Default::default() };
    let mut said = vec![];
    let outcome = train(loaded, &options, |line| said.push(line.to_string()))?;
    Ok((outcome, said))
}

fn data() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    folder(&dir.path().join("train"), &["blue", "green", "red"], 0, 8);
    folder(&dir.path().join("val"), &["blue", "green", "red"], 100, 3);
    dir
}

fn file(path: &Path) -> WeightsFile {
    WeightsFile::read(path).unwrap()
}

#[test]
fn it_learns_and_its_weights_serve_every_command() {
    let _alone = alone();
    let dir = data();
    let loaded = loaded(dir.path(), &[]);
    let e = &loaded.experiment;
    let told = dry_run(&loaded).unwrap().to_string();
    assert!(told.contains("24 images to train on (8 to 8 a class), 9 to measure on, 3 classes (blue, green, red)"), "{told}");
    assert!(told.contains("batch: [8, 3, 32, 32]"), "{told}");
    // With copies of the network, the loss is the mean of their shares'.
    let copies = dry_run(&self::loaded(dir.path(), &["train.replicas=2", "model.backbone.dropout=0"])).unwrap().to_string();
    let alone = dry_run(&self::loaded(dir.path(), &["model.backbone.dropout=0"])).unwrap().to_string();
    let loss = |told: &str| -> f64 {
        let text = told.split("losses: cross_entropy ").nth(1).and_then(|t| t.lines().next()).unwrap();
        text.parse().unwrap()
    };
    assert!((loss(&copies) - loss(&alone)).abs() < 0.2, "{copies}{alone}");
    assert_ne!(loss(&copies), loss(&alone), "batch norms take their statistics from a copy's own images");

    let root = dir.path().join("run");
    let (outcome, _) = run(&loaded, &root, false).unwrap();
    assert_eq!(outcome.end, RunOutcome::Finished);
    let records = metrics::read(&root.join("metrics.jsonl")).unwrap();
    let Some(Record::Eval(last)) = records.iter().rev().find(|r| matches!(r, Record::Eval(_))) else { panic!("no evaluation") };
    assert!(last.ema && last.metric("top1").unwrap() >= 8.0 / 9.0, "{last:?}");
    assert_eq!(last.metric("top5"), Some(1.0), "of three classes");
    for file in ["metrics.json", "curves.png", "predictions/step_00000048.png", "weights/last.safetensors"] {
        assert!(root.join(file).is_file(), "{file} is missing");
    }

    // Evaluation folds the weights and finds what the run found.
    let best = root.join("weights/best.safetensors");
    let stop = AtomicBool::new(false);
    let accuracy = evaluate_weights(e, file(&best), None, &stop, &mut |_, _| ()).unwrap().unwrap();
    let in_run: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(root.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(in_run["top1"].as_f64().unwrap(), accuracy.top1);
    assert!((in_run["loss"].as_f64().unwrap() - accuracy.loss).abs() < 1e-4);
    assert_eq!(in_run["classes"][2]["name"], "red");
    assert_eq!(in_run["classes"][2]["images"], 3);

    let fused = dir.path().join("fused.safetensors");
    let report = fuse::fuse(e, file(&best), &[], FuseLevel::All, &fused).unwrap();
    assert!(report.difference < 1e-4 && report.tensors[1] < report.tensors[0], "{report:?}");
    assert_eq!(detect_form(&weights::read(&fused).unwrap()), Form::Folded);

    std::fs::write(dir.path().join("val/red/broken.jpg"), b"no image").unwrap();
    let images = [dir.path().join("val/red"), dir.path().join("val/green/1.png")];
    let mut found = vec![];
    for (weights, output) in [(&best, "a"), (&fused, "b")] {
        let output = dir.path().join(output);
        let options = PredictOptions { images: images.to_vec(), output: output.clone(), ..Default::default() };
        let predicted = predict(e, file(weights), &options, &stop, &mut |_, _| ()).unwrap().unwrap();
        assert_eq!((predicted.predictions.len(), predicted.unreadable.len()), (4, 1));
        let text = std::fs::read_to_string(output.join("predictions.json")).unwrap();
        found.push(serde_json::from_str::<Vec<serde_json::Value>>(&text).unwrap());
    }
    for (a, b) in found[0].iter().zip(&found[1]) {
        assert_eq!((&a["file_name"], &a["class"]), (&b["file_name"], &b["class"]));
        let sum: f64 = a["top"].as_array().unwrap().iter().map(|g| g["probability"].as_f64().unwrap()).sum();
        assert!(
            (sum - 1.0).abs() < 1e-5 && (a["probability"].as_f64().unwrap() - b["probability"].as_f64().unwrap()).abs() < 1e-3
        );
    }
    let right = found[0].iter().filter(|p| p["file_name"].as_str().unwrap().contains(p["class"].as_str().unwrap())).count();
    assert!(right >= 3, "{:?}", found[0]);
    // The unreadable file makes the data another one, so measuring on it is refused.
    let error = evaluate_weights(e, file(&best), None, &stop, &mut |_, _| ()).unwrap_err();
    assert!(error.to_string().contains("broken.jpg"), "{error}");
}

#[test]
fn a_resumed_classifier_has_the_same_bits() {
    resumed_is_whole("train.replicas=1");
}

/// Copies of the network drop what their own generators say, whichever of them comes first.
#[test]
fn a_resumed_classifier_with_replicas_has_the_same_bits() {
    resumed_is_whole("train.replicas=2");
}

fn resumed_is_whole(replicas: &str) {
    let _alone = alone();
    let dir = data();
    let augmented = ["data.classify.rand_augment=rand-m9-mstd0.5", "model.backbone.dropout=0.5", replicas];
    let with = |steps: &str| loaded(dir.path(), &[&augmented[..], &[steps]].concat());
    run(&with("train.max_steps=6"), &dir.path().join("whole"), false).unwrap();
    run(&with("train.max_steps=4"), &dir.path().join("parts"), false).unwrap();
    run(&with("train.max_steps=6"), &dir.path().join("parts"), true).unwrap();
    let tensors = |run: &str| weights::read(dir.path().join(run).join("checkpoints/step_00000006.safetensors")).unwrap();
    let (a, b) = (tensors("whole"), tensors("parts"));
    assert!(a.names().eq(b.names()));
    for ((name, x), (_, y)) in a.tensors.iter().zip(&b.tensors) {
        assert!(x.equal(y), "{name} differs");
    }
}

/// A run of three classes starts a run of four: all but the last layer is loaded, and the log says so. The same backbone under a
/// detector loads the classifier's file too.
#[test]
fn a_classifier_of_other_classes_is_made_anew_and_named() {
    let _alone = alone();
    let dir = data();
    run(&loaded(dir.path(), &["train.max_steps=2"]), &dir.path().join("first"), false).unwrap();
    let file = dir.path().join("first/weights/last.safetensors");
    for split in ["train", "val"] {
        folder(&dir.path().join(split), &["amber"], 50, 3);
    }
    let init = format!("init.backbone={}", file.display());
    let tuned = loaded(dir.path(), &[&init, "train.max_steps=1", "train.optimizer.lr=1e-9", "train.schedule.name=constant"]);
    let (_, said) = run(&tuned, &dir.path().join("second"), false).unwrap();
    let line = said.iter().find(|l| l.starts_with("init.backbone")).unwrap();
    assert!(
        line.contains("made anew, as the number of classes differs: classifier.weight (model [4, 1280], file [3, 1280])"),
        "{line}"
    );
    assert!(line.contains("classifier.bias (model [4], file [3])"), "{line}");
    let (before, after) =
        (weights::read(&file).unwrap(), weights::read(dir.path().join("second/weights/last.safetensors")).unwrap());
    let name = "blocks.6.3.ghost1.primary_conv.0.weight";
    let moved = f64::try_from((before.get(name).unwrap() - after.get(name).unwrap()).abs().max()).unwrap();
    assert!(moved < 1e-6, "loaded, and moved by one tiny step only: {moved}");
    assert_eq!(after.get("classifier.weight").unwrap().size(), [4, 1280]);

    // Another width does not fit, and every tensor of it is listed.
    let wide = loaded(dir.path(), &[&init, "model.backbone.width=0.5"]);
    let error = run(&wide, &dir.path().join("third"), false).unwrap_err();
    assert!(error.to_string().contains("of another shape"), "{error}");
    assert!(!dir.path().join("third").exists(), "nothing was written");
    let wrong = loaded(dir.path(), &[&init.replace("backbone", "detector")]);
    assert!(run(&wrong, &dir.path().join("third"), false).unwrap_err().to_string().contains("starts from init.backbone"));
}

#[test]
fn what_cannot_work_is_refused_in_a_line_or_two() {
    let _alone = alone();
    let dir = data();
    let refused = |overrides: &[&str]| {
        let error = run(&loaded(dir.path(), overrides), &dir.path().join("r"), false).unwrap_err();
        assert!(!dir.path().join("r").exists());
        error.to_string()
    };
    let missing = refused(&["data.train.images=nowhere"]);
    assert!(
        missing.starts_with("data.train.images: nowhere is not there") && missing.contains("repghost-det data crops"),
        "{missing}"
    );
    let unreadable =
        Loaded::read(&dir.path().join("small.yaml"), &["data.classify.random_erasing=1.5".into()]).unwrap_err().to_string();
    assert!(unreadable.starts_with("data.classify.random_erasing: found 1.5, expected a number from 0 to 1"), "{unreadable}");
    assert!(refused(&["data.classes=[blue, rde]"]).contains(r#"has no subfolder "rde"; there are blue, green, red"#));
    let source = refused(&["data.source=shapes"]);
    assert!(source.contains("data.source") && source.contains("image_folder"), "{source}");
    folder(&dir.path().join("val"), &["violet"], 0, 1);
    assert!(refused(&[]).contains(r#"has the subfolder "violet", which is none of the 3 classes"#));
    // The wanted classes only, in their order.
    let (_, said) =
        run(&loaded(dir.path(), &["data.classes=[red, blue]", "train.max_steps=1"]), &dir.path().join("two"), false).unwrap();
    assert!(said.iter().any(|line| line.contains("2 classes (red, blue)")), "{said:?}");
}

/// ImageNet is not here: two lines say what is expected where.
#[test]
fn shipped_recipes_are_read_and_say_what_they_need() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("experiments/imagenet");
    let mut files: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    files.sort();
    assert!(files.len() >= 16, "{files:?}");
    for file in files {
        let loaded = Loaded::read(&file, &[]).unwrap();
        let e = &loaded.experiment;
        assert_eq!((e.train.batch_size * e.train.accumulate, e.train.base_batch_size), (1024, Some(1024)));
        let large = e.model.backbone.width >= 1.3;
        assert_eq!(e.data.classify.rand_augment.is_some(), large, "{}", file.display());
        let error = e.image_folder(repghost_train::config::Split::Train).unwrap_err().to_string();
        assert!(
            error.contains("ImageNet-1K (train/CLASS/*.JPEG and val/CLASS/*.JPEG, 1000 classes): export IMAGENET=DIR"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 2, "{error}");
    }
}

/// The rates that timm's scheduler gives with the authors' arguments, epoch by epoch (0.6 at most, 300 epochs, 5 of warm-up from 1e-4,
/// cosine to 1e-5, stepped per epoch).
#[test]
fn the_recipes_rates_are_timms() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("experiments/imagenet/repghostnet_1.0x.yaml");
    let e = Loaded::read(&file, &[]).unwrap().experiment;
    // 1,281,167 images make 10,009 batches of 128; the last of an epoch's steps has fewer batches.
    let plan = repghost_train::trainer::Plan::new(&e.train, 10_009).unwrap();
    assert_eq!(plan.steps_per_epoch, 1252);
    let rate = |epoch: u64| plan.lr(epoch * plan.steps_per_epoch + 7);
    for (epoch, expected) in [(0, 1e-4), (1, 0.12008), (2, 0.24006), (3, 0.36004), (4, 0.48002)] {
        assert!((rate(epoch) - expected).abs() < 1e-9, "epoch {epoch}: {}", rate(epoch));
    }
    for epoch in [5u64, 6, 150, 299] {
        let expected = 1e-5 + 0.5 * (0.6 - 1e-5) * (1.0 + (std::f64::consts::PI * epoch as f64 / 300.0).cos());
        assert!((rate(epoch) - expected).abs() < 1e-9, "epoch {epoch}: {}", rate(epoch));
    }
    assert!((rate(299) - 2.645e-5).abs() < 1e-8);
}
