//! Whole runs on the simulated device: a card's branches give the CPU's numbers, and what crosses between host and device is counted.
//!
//! A binary of its own: the device is there for the whole process.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use repghost_backbone::weights;
use repghost_backbone::FuseLevel;
use repghost_sim_device::{counted, log, turn, Counts};
use repghost_train::checkpoint::folder::newest;
use repghost_train::config::Loaded;
use repghost_train::detection::engine::LibtorchPool;
use repghost_train::detection::model;
use repghost_train::evaluate::evaluate_weights;
use repghost_train::predict::{predict, PredictOptions};
use repghost_train::run::{metrics, Record, StepRecord};
use repghost_train::train::{train, TrainOptions};
use repghost_train::{dry_run, fuse, WeightsFile};
use tch::{Kind, Tensor};

/// A step of plain descent with a rate of 1: what the weights lose is the gradient.
const STEP: &str = "
data:
  source: shapes
  workers: 1
  shapes: {train_images: 8, val_images: 2, picture: {size: [96, 96], empty_every: 3}}
  augment: {resize: {size: 96}, hflip: 0.0}
train:
  max_steps: 1
  batch_size: 4
  kernels: libtorch
  clip_grad_norm: 1e9
  optimizer: {name: sgd, lr: 1.0, momentum: 0.0, weight_decay: 0.0}
  schedule: {name: constant}
  eval_every: 0
  log_every: 1
";
const RETINANET: &str = "
model:
  backbone: {name: repghostnet, width: 0.25}
  fpn: {channels: 16}
  head: {name: retinanet, tower_depth: 1}
";
const MASK_RCNN: &str = "
model:
  backbone: {name: repghostnet, width: 0.25}
  fpn: {channels: 16}
  head: {name: mask_rcnn, box_head: {fcs: [32, 32]}, mask_head: {convs: [16, 16], deconv: 16}}
";
const CLASSIFIER: &str = "
task: classification
model:
  backbone: {name: repghostnet, width: 0.25}
  head: {name: classifier}
";

fn loaded(dir: &Path, model: &str, overrides: &[&str]) -> Loaded {
    let file = dir.join("experiment.yaml");
    let data = match model == CLASSIFIER {
        false => STEP.to_string(),
        true => {
            let image_folder = format!("  source: image_folder\n  train: {{images: {0}}}\n  val: {{images: {0}}}\n  workers: 1\n  classify: {{size: 32}}\n", dir.join("images").display());
            let rest = &STEP[STEP.find("train:\n").unwrap()..];
            format!("data:\n{image_folder}{rest}")
        }
    };
    std::fs::write(&file, format!("{data}{model}")).unwrap();
    Loaded::read(&file, &overrides.iter().map(|s| s.to_string()).collect::<Vec<_>>()).unwrap()
}

/// Three classes of plain pictures, four of each.
fn pictures(dir: &Path) {
    pictures_of(dir, 4);
}

fn pictures_of(dir: &Path, count: u8) {
    for (class, color) in [("blue", [10, 20, 200]), ("green", [20, 200, 10]), ("red", [200, 20, 10])] {
        let folder = dir.join("images").join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for i in 0..count {
            let picture = image::RgbImage::from_fn(40, 40, |x, y| {
                image::Rgb(color.map(|c: u8| c.wrapping_add((x * y) as u8 % (8 + i % 4))))
            });
            picture.save(folder.join(format!("{i}.png"))).unwrap();
        }
    }
}

fn run(loaded: &Loaded, dir: &Path, resume: bool) -> Vec<StepRecord> {
    let options = TrainOptions { run_dir: Some(dir.to_path_buf()), resume, quiet: true, ..Default::default() };
    train(loaded, &options, |_| ()).unwrap();
    let records = metrics::read(&dir.join("metrics.jsonl")).unwrap();
    records.into_iter().filter_map(|r| if let Record::Step(s) = r { Some(s) } else { None }).collect()
}

fn tensors(file: &Path) -> Vec<(String, Tensor)> {
    let state = weights::read(file).unwrap();
    state.tensors.into_iter().map(|(name, t)| (name, t.to_kind(Kind::Double))).collect()
}

/// Losses, gradient norm, and all weights after one step, on the CPU and on the device.
fn one_step(model: &str, overrides: &[&str]) -> [(StepRecord, Vec<(String, Tensor)>); 2] {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path());
    ["cpu", "cuda"].map(|device| {
        let key = format!("run.device={device}");
        let all: Vec<&str> = overrides.iter().copied().chain([key.as_str()]).collect();
        let folder = dir.path().join(device);
        let steps = run(&loaded(dir.path(), model, &all), &folder, false);
        (steps[0].clone(), tensors(&folder.join("weights/last.safetensors")))
    })
}

/// Relative difference of two numbers.
fn apart(a: f64, b: f64) -> f64 {
    (a - b).abs() / a.abs().max(b.abs()).max(1e-12)
}

/// The norm of what two states differ by. Single values say little: where the input of a ReLU lies within rounding of zero, the gradient of
/// one filter may move by a per cent whatever computes it.
fn states_apart(a: &[(String, Tensor)], b: &[(String, Tensor)]) -> f64 {
    let squares = a.iter().zip(b).map(|((name, a), (other, b))| {
        assert_eq!(name, other);
        f64::try_from((a - b).square().sum(Kind::Double)).unwrap()
    });
    squares.sum::<f64>().sqrt()
}

/// Both sides run the same operations (`train.kernels: libtorch`): equal to the last bit.
#[test]
fn a_classifiers_step_is_the_cpus_bit_for_bit() {
    let (_device, _turn) = turn(2);
    let [(cpu, before), (card, after)] = one_step(CLASSIFIER, &[]);
    assert_eq!((cpu.losses, cpu.grad_norm.map(|n| n as f32)), (card.losses, card.grad_norm.map(|n| n as f32)));
    for ((name, a), (_, b)) in before.iter().zip(&after) {
        assert!(a.equal(b), "{name}");
    }
}

/// Detectors have kernels of their own on the CPU (focal loss, RoIAlign): equal to rounding. The bound is that of sums of 32-bit floats in
/// another order, far below what any fault would do.
#[test]
fn a_detectors_step_is_the_cpus() {
    let (_device, _turn) = turn(2);
    for model in [RETINANET, MASK_RCNN] {
        let [(cpu, before), (card, after)] = one_step(model, &[]);
        for ((name, a), (_, b)) in cpu.losses.iter().zip(&card.losses) {
            assert!(apart(*a, *b) < 1e-4, "{name}: {a} {b}");
        }
        let norm = cpu.grad_norm.unwrap();
        assert!(apart(norm, card.grad_norm.unwrap()) < 1e-3, "{cpu:?} {card:?}");
        let gradients = states_apart(&before, &after) / norm;
        eprintln!("{}gradients differ by {gradients:.1e} of their norm", model.trim_start());
        assert!(gradients < 2e-3, "{model}{gradients}");
    }
}

/// Momentum, weight decay, accumulation, clipping and the moving average, by both optimizers' fused rules.
#[test]
fn fused_updates_are_the_rules() {
    let (_device, _turn) = turn(2);
    for optimizer in ["{name: sgd, lr: 0.01, momentum: 0.9, nesterov: true}", "{name: adamw, lr: 1e-3, no_decay_on_1d: true}"] {
        let key = format!("train.optimizer={optimizer}");
        let overrides =
            [key.as_str(), "train.accumulate=2", "train.clip_grad_norm=0.1", "train.ema={decay: 0.5}", "train.max_steps=3"];
        let [(cpu, before), (card, after)] = one_step(CLASSIFIER, &overrides);
        assert!(apart(cpu.grad_norm.unwrap(), card.grad_norm.unwrap()) < 1e-5);
        let [(_, started), _] = one_step(CLASSIFIER, &["train.optimizer={name: sgd, lr: 1e-12}", "train.accumulate=2"]);
        let moved = states_apart(&started, &before);
        let apart = states_apart(&before, &after) / moved;
        eprintln!("{optimizer}: three steps differ by {apart:.1e} of their length");
        assert!(moved > 0.0 && apart < 1e-2, "{optimizer}: {apart}");
    }
}

/// A run changes its device between two steps: a checkpoint is of no device.
#[test]
fn checkpoints_are_of_no_device() {
    let (_device, _turn) = turn(2);
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path());
    // A small rate: from step to step a large one makes anything of rounding, on one device as on two.
    let settings = ["train.optimizer={name: adamw, lr: 1e-5}", "train.ema={decay: 0.5}", "train.batch_size=3", "train.epochs=2"];
    let with = |device: &str, steps: &str| {
        let own = [format!("run.device={device}"), format!("train.max_steps={steps}")];
        let all: Vec<&str> = settings.iter().copied().chain(own.iter().map(String::as_str)).collect();
        loaded(dir.path(), CLASSIFIER, &all)
    };
    let whole = run(&with("cpu", "4"), &dir.path().join("whole"), false);
    let folder = dir.path().join("moved");
    run(&with("cuda:1", "2"), &folder, false);
    let moved = run(&with("cpu", "3"), &folder, true);
    assert_eq!(moved.len(), 3);
    let moved = run(&with("cuda", "4"), &folder, true);
    for (a, b) in whole.iter().zip(&moved) {
        assert!(apart(a.loss, b.loss) < 1e-3, "{a:?} {b:?}");
    }
}

/// Evaluation, prediction and fusing find on the device what they find on the CPU.
#[test]
fn weights_serve_every_command() {
    let (_device, _turn) = turn(2);
    for model in [RETINANET, MASK_RCNN] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let low =
            ["eval.score_threshold=0.001", "train.optimizer={name: adamw, lr: 5e-3}", "train.max_steps=4", "train.epochs=2"];
        run(&loaded(dir.path(), model, &low), &folder, false);
        let best = folder.join("weights/last.safetensors");
        let stop = AtomicBool::new(false);
        let [cpu, card] = ["run.device=cpu", "run.device=cuda"].map(|device| {
            let all: Vec<&str> = low.iter().copied().chain([device]).collect();
            let e = loaded(dir.path(), model, &all).experiment;
            let measured = evaluate_weights(&e, WeightsFile::read(&best).unwrap(), &stop, &mut |_, _| ()).unwrap().unwrap();
            let fused = dir.path().join("fused.safetensors");
            fuse::fuse(&e, WeightsFile::read(&best).unwrap(), &[], FuseLevel::All, &fused).unwrap();
            measured.detections
        });
        // Of the many weak ones a few may hang on rounding (two boxes that overlap by just the bound).
        assert!(cpu.len() > 20, "{} detections compare little", cpu.len());
        assert!(cpu.len().abs_diff(card.len()) * 50 <= cpu.len(), "{} {}", cpu.len(), card.len());
        for (a, b) in cpu.iter().zip(&card).take(10) {
            assert!(apart(a.score, b.score) < 1e-3, "{a:?} {b:?}");
        }
    }
}

/// Half precision on the device: the losses stay close to those in 32 bits, and fp16's loss scale is part of the checkpoint.
#[test]
fn lower_precision_trains() {
    let (_device, _turn) = turn(2);
    for model in [RETINANET, MASK_RCNN, CLASSIFIER] {
        let dir = tempfile::tempdir().unwrap();
        pictures(dir.path());
        let train = |precision: &str| {
            let own = format!("train.precision={precision}");
            let overrides = ["run.device=cuda", "train.optimizer={name: adamw, lr: 1e-3}", "train.max_steps=2", own.as_str()];
            run(&loaded(dir.path(), model, &overrides), &dir.path().join(precision), false)
        };
        let (full, bf16, fp16) = (train("fp32"), train("bf16"), train("fp16"));
        for half in [&bf16, &fp16] {
            assert!(apart(full[0].loss, half[0].loss) < 0.05, "{model}{} {}", full[0].loss, half[0].loss);
            assert!(half.iter().all(|s| s.loss.is_finite() && s.grad_norm.is_none_or(f64::is_finite)), "{half:?}");
            assert_ne!(full[0].loss, half[0].loss, "nothing ran in half precision");
        }
        let saved = newest(&dir.path().join("fp16/checkpoints"), |_| ()).unwrap().unwrap();
        let scale = saved.progress.loss_scale.expect("a loss scale");
        assert!(scale.scale >= 1.0 && scale.scale <= 65_536.0, "{scale:?}");
        let plain = newest(&dir.path().join("bf16/checkpoints"), |_| ()).unwrap().unwrap();
        assert_eq!(plain.progress.loss_scale, None);
    }
}

/// What one step does on the device, from runs of three and of one.
fn per_step(model: &str, overrides: &[&str]) -> (Counts, String) {
    let dir = tempfile::tempdir().unwrap();
    // All steps lie in one epoch: checkpoints are no part of a step.
    pictures_of(dir.path(), 12);
    let [(one, _), (three, text)] = [1, 3].map(|steps| {
        let own = format!("train.max_steps={steps}");
        let all: Vec<&str> = ["run.device=cuda", "data.shapes.train_images=32", own.as_str()]
            .into_iter()
            .chain(overrides.iter().copied())
            .collect();
        let loaded = loaded(dir.path(), model, &all);
        let (_, counts) = counted(|| run(&loaded, &dir.path().join(format!("run{steps}")), false));
        (counts, log())
    });
    let half = |three: u64, one: u64| (three - one) / 2;
    let counts = Counts {
        launches: half(three.launches, one.launches),
        to_waiting: half(three.to_waiting, one.to_waiting),
        // Large results come through pinned memory: a copy beside the host, and a wait for it.
        from_waiting: half(three.waiting_from() + three.waits, one.waiting_from() + one.waits),
        from_async: half(three.from_async, one.from_async),
        waits: half(three.waits, one.waits),
        races: three.races,
        ..Counts::default()
    };
    (counts, text)
}

/// Upper bounds of a step with the optimizer, average and clipping of the demos. They must not grow with the images of a batch.
#[test]
fn a_step_seldom_waits() {
    let (_device, _turn) = turn(2);
    let adamw = ["train.optimizer={name: adamw, lr: 1e-3}", "train.ema={decay: 0.9}", "train.clip_grad_norm=1.0"];
    for (model, to, from, launches) in BOUNDS {
        let mut seen = vec![];
        for batch in ["train.batch_size=4", "train.batch_size=8"] {
            let overrides: Vec<&str> = adamw.iter().copied().chain([batch]).collect();
            let (c, text) = per_step(model, &overrides);
            eprintln!(
                "{} {batch}: {} launches, {} waiting to, {} waiting from",
                model.lines().last().unwrap(),
                c.launches,
                c.to_waiting,
                c.from_waiting
            );
            assert!(c.to_waiting <= to && c.from_waiting <= from && c.launches <= launches, "{batch}: {c:?}\n{text}");
            assert_eq!((c.waits, c.races), (c.from_async, 0), "nothing is waited for but such copies\n{text}");
            seen.push((c.to_waiting, c.from_waiting));
        }
        assert_eq!(seen[0], seen[1], "what waits grows with the batch");
    }
}

/// Model, waiting copies to and from the device, launches.
const BOUNDS: [(&str, u64, u64, u64); 3] = [(RETINANET, 1, 3, 3000), (MASK_RCNN, 2, 8, 4000), (CLASSIFIER, 1, 3, 3000)];

/// A card that is not there, and what a dry run says of one that is.
#[test]
fn devices_are_named() {
    let (_device, _turn) = turn(2);
    let dir = tempfile::tempdir().unwrap();
    let options = TrainOptions { run_dir: Some(dir.path().join("run")), quiet: true, ..Default::default() };
    let error = train(&loaded(dir.path(), RETINANET, &["run.device=cuda:2"]), &options, |_| ()).unwrap_err().to_string();
    assert_eq!(error, "run.device: cuda:2 cannot be used: there is no card 2: this machine shows 2 cards, cuda:0 to cuda:1");
    assert!(!dir.path().join("run").exists(), "nothing was written");
    let told = dry_run::dry_run(&loaded(dir.path(), RETINANET, &["run.device=cuda:1", "train.replicas=2"])).unwrap().to_string();
    assert!(told.contains("device: cuda:1; one replica") && told.contains("memory of the card:"), "{told}");
}

/// Prediction on files, with pictures of what was found.
#[test]
fn prediction_runs_on_the_device() {
    let (_device, _turn) = turn(2);
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path());
    let folder = dir.path().join("run");
    run(&loaded(dir.path(), RETINANET, &[]), &folder, false);
    let options = PredictOptions {
        images: vec![dir.path().join("images/red")],
        output: dir.path().join("out"),
        score_threshold: Some(0.001),
        ..Default::default()
    };
    let stop = AtomicBool::new(false);
    let e = options.applied(&loaded(dir.path(), RETINANET, &["run.device=cuda"]).experiment).unwrap();
    let weights = WeightsFile::read(&folder.join("weights/last.safetensors")).unwrap();
    let (predicted, counts) = counted(|| {
        let pool = LibtorchPool::new(&e, model::load(&e, weights).unwrap());
        predict(&e, &pool, &options, &stop, &mut |_, _| ()).unwrap().unwrap()
    });
    assert_eq!(predicted.images, 4);
    assert!(counts.launches > 100, "it ran on the CPU: {counts:?}");
}
