//! Several real processes train what one does, and end together.

#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{repghost, wait_for, Folder, Ran};
use repghost_backbone::weights;
use tch::{Kind, Tensor};

/// A small rate: at 0.05 five steps of so small a network amplify the rounding of sums to 2 % of the weights, whatever changes it (one thread more
/// or less will do); a fault would still move the weights by far more than the bounds.
const DATA: &str = "
data:
  source: shapes
  workers: 1
  shapes: {train_images: 12, val_images: 5, picture: {size: [96, 96], empty_every: 3}}
  augment: {resize: {size: 96}}
train:
  max_steps: 1
  epochs: 4
  batch_size: 4
  kernels: libtorch
  clip_grad_norm: 5.0
  ema: {decay: 0.5}
  batch_norm: {sync: true}
  optimizer: {name: sgd, lr: 2e-4, momentum: 0.9, weight_decay: 1e-4}
  schedule: {name: constant}
  eval_every: 0
  log_every: 1
";
const BACKBONE: &str = "
model:
  backbone: {name: repghostnet, width: 0.25}
  fpn: {channels: 16}
";
const RETINANET: &str = "  head: {name: retinanet, tower_depth: 1}\n";
const FCOS: &str = "  head: {name: fcos, tower_depth: 1, norm_groups: 4}\n";
/// All regions are trained on, whatever their scores: none of them depends on which of two nearly equal ones is the better.
macro_rules! all_regions {
    ($head:literal) => {
        concat!(
            "  head:\n    rpn: {nms_thresh: 1.0, pre_nms_top_n_train: 100000, post_nms_top_n_train: 100000}\n",
            "    roi: {batch_size_per_image: 100000, positive_fraction: 1.0}\n",
            $head
        )
    };
}
const FASTER_RCNN: &str = all_regions!("    name: faster_rcnn\n    box_head: {fcs: [32, 32]}\n");
const MASK_RCNN: &str =
    all_regions!("    name: mask_rcnn\n    box_head: {fcs: [32, 32]}\n    mask_head: {convs: [16, 16], deconv: 16}\n");
/// Torchvision's second version: batch norms over regions, of which processes have different numbers, or none.
const MASK_RCNN_NORMS: &str = all_regions!(
    "    name: mask_rcnn\n    box_head: {convs: [16], norm: true, fcs: [32]}\n    mask_head: {convs: [16], norm: true, deconv: 16}\n"
);

fn folder(head: &str) -> Folder {
    Folder::new(&[("e.yaml", &format!("{DATA}{BACKBONE}{head}"))])
}

fn command(folder: &Folder, run: &str, more: &[&str]) -> Command {
    let mut command = repghost();
    command.current_dir(folder.path()).env("OMP_NUM_THREADS", "1").args(["train", "e.yaml", "--run-dir", run]).args(more);
    command
}

fn train(folder: &Folder, run: &str, more: &[&str]) -> Ran {
    command(folder, run, more).output().unwrap().into()
}

fn done(folder: &Folder, run: &str, more: &[&str]) {
    let ran = train(folder, run, more);
    assert_eq!(ran.code, 0, "{run}: {}", ran.stderr);
}

fn tensors(folder: &Folder, run: &str) -> Vec<(String, Tensor)> {
    let state = weights::read(folder.path().join(run).join("weights/last.safetensors")).unwrap();
    state.tensors.into_iter().map(|(name, t)| (name, t.to_kind(Kind::Double))).collect()
}

/// The norm of the difference of two states, relative to the norm of one.
fn apart(a: &[(String, Tensor)], b: &[(String, Tensor)]) -> f64 {
    let square = |t: Tensor| f64::try_from(t.square().sum(Kind::Double)).unwrap();
    let difference: f64 = a
        .iter()
        .zip(b)
        .map(|((name, a), (other, b))| {
            assert_eq!(name, other);
            square(a - b)
        })
        .sum();
    (difference / b.iter().map(|(_, b)| square(b.shallow_clone())).sum::<f64>()).sqrt()
}

/// The trained weights alone: running statistics move much further.
fn parameters(state: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    state.into_iter().filter(|(name, _)| !name.contains(".running_") && !name.ends_with("num_batches_tracked")).collect()
}

/// Checks that a run equals that of one process: after one step all tensors to 1e-5, weights to 3 % of the way that they went (a ReLU whose input
/// is zero to rounding takes a per cent of the gradient; all else is 1e-4); after more to
/// 1e-4 and 30 %, since later steps amplify the rounding of sums.
fn assert_same(folder: &Folder, other: &str, one: &str, steps: usize) {
    let (bound, share) = if steps == 1 { (1e-5, 0.03) } else { (1e-4, 0.3) };
    let all = apart(&tensors(folder, other), &tensors(folder, one));
    let [start, other, one] = ["start", other, one].map(|run| parameters(tensors(folder, run)));
    let (difference, moved) = (apart(&other, &one), apart(&start, &one));
    eprintln!("{steps} steps: all tensors {all:.1e}, weights {difference:.1e}, moved {moved:.1e}");
    assert!(difference < bound && (steps > 1 || all < bound), "{steps} steps: {difference} of weights, {all} of all tensors");
    assert!(moved > 1e-6 && difference < share * moved, "{steps} steps: {difference} where {moved} was moved");
}

/// One step and five steps of every head: what one process does, two do, and three with uneven shares; batch norms over all processes.
#[test]
fn processes_train_what_one_does() {
    for head in [RETINANET, FCOS, FASTER_RCNN, MASK_RCNN, MASK_RCNN_NORMS] {
        let folder = folder(head);
        // Fewer regions: minutes less.
        let small = "data.augment.resize.size=64";
        done(&folder, "start", &[small, "train.optimizer.lr=1e-40"]);
        for steps in [1, 5] {
            let at = |n: &str| format!("{n}{steps}");
            let key = format!("train.max_steps={steps}");
            done(&folder, &at("one"), &[small, &key]);
            for (name, nproc) in [("two", "2"), ("three", "3")] {
                done(&folder, &at(name), &[small, &key, "--nproc", nproc]);
                eprint!("{} {name}: ", head.split_whitespace().collect::<Vec<_>>().join(" "));
                assert_same(&folder, &at(name), &at("one"), steps);
            }
        }
    }
}

/// The same world gives the same bits; another world goes on with a run; a batch with fewer images than processes is no obstacle.
#[test]
fn runs_repeat_resume_in_other_worlds_and_bear_empty_shares() {
    let folder = folder(RETINANET);
    let two = ["train.max_steps=2", "--nproc", "2"];
    done(&folder, "a", &two);
    done(&folder, "b", &two);
    for ((name, a), (_, b)) in tensors(&folder, "a").iter().zip(&tensors(&folder, "b")) {
        assert!(a.equal(b), "{name}");
    }
    done(&folder, "a", &["train.max_steps=4", "--resume"]);
    done(&folder, "a", &["train.max_steps=6", "--resume", "--nproc", "3"]);
    done(&folder, "one", &["train.max_steps=6"]);
    done(&folder, "start", &["train.optimizer.lr=1e-40"]);
    assert_same(&folder, "a", "one", 6);
    let few = ["data.shapes.train_images=2", "train.max_steps=2"];
    done(&folder, "few_one", &few);
    done(&folder, "few_three", &[&few[..], &["--nproc", "3"]].concat());
    assert_same(&folder, "few_three", "few_one", 2);
}

/// Weights that stay as they are, measured by one process and by three: the same files, byte by byte.
#[test]
fn evaluation_is_split_and_its_files_are_those_of_one_process() {
    let folder = folder(MASK_RCNN);
    done(&folder, "start", &[]);
    let fixed = [
        "init.detector=start/weights/last.safetensors",
        "train.optimizer.lr=1e-40",
        "train.optimizer.weight_decay=0",
        "train.ema=null",
        "train.batch_norm.use_running_stats=true",
        "train.eval_every=1",
        "eval.score_threshold=0.01",
    ];
    done(&folder, "one", &fixed);
    done(&folder, "three", &[&fixed[..], &["--nproc", "3"]].concat());
    let read = |run: &str, file: &str| std::fs::read(folder.path().join(run).join(file)).unwrap();
    assert!(read("one", "detections.json").len() > 1000, "something is found");
    for file in ["detections.json", "metrics.json"] {
        assert!(read("one", file) == read("three", file), "{file}");
    }
    let folders = |run: &str| std::fs::read_dir(folder.path().join(run)).unwrap().count();
    assert_eq!(folders("one"), folders("three"));
    // A run folder is enough to measure its best weights again.
    let best = folder.run(&["eval", "one", "--weights", "one/weights/best.safetensors", "--output", "named"]);
    let own = folder.run(&["eval", "one", "--output", "own"]);
    assert_eq!((best.code, own.code, &own.stdout), (0, 0, &best.stdout), "{}", own.stderr);
    assert!(read("own", "detections.json") == read("named", "detections.json"));
    let no_run = folder.run(&["eval", "one/config.yaml"]);
    assert_eq!(no_run.code, 2);
    assert_eq!(no_run.stderr.trim(), "error: one/config.yaml: is no run folder, so --weights FILE has to name the weights");
}

/// Gradients that are sent during the backward give the same bits; those that are rounded on their way nearly the same weights.
#[test]
fn gradients_may_be_sent_during_the_backward_or_rounded() {
    for head in [RETINANET, MASK_RCNN] {
        let folder = folder(head);
        let keys = ["train.max_steps=3", "train.batch_norm.sync=false", "--nproc", "2"];
        let with = |more: &[&'static str]| [&keys[..], more].concat();
        done(&folder, "start", &["train.optimizer.lr=1e-40"]);
        done(&folder, "late", &with(&["train.distributed.bucket_mb=1"]));
        done(&folder, "watched", &with(&["train.distributed.bucket_mb=1", "train.distributed.overlap=true"]));
        done(&folder, "rounded", &with(&["train.distributed.compress=bf16"]));
        for ((name, a), (_, b)) in tensors(&folder, "late").iter().zip(&tensors(&folder, "watched")) {
            assert!(a.equal(b), "{name}");
        }
        let [start, late, rounded] = ["start", "late", "rounded"].map(|run| parameters(tensors(&folder, run)));
        let (difference, moved) = (apart(&rounded, &late), apart(&start, &late));
        assert!(difference > 0.0 && difference < 0.05 * moved, "{difference} where {moved} was moved");
    }
}

/// Images that cannot be read are left out of one process's part only; a run that must not leave them out names the process and the image.
#[test]
fn unreadable_images_of_one_process() {
    let folder = folder(RETINANET);
    let repghost_run = |args: &[&str]| -> Ran { repghost().current_dir(folder.path()).args(args).output().unwrap().into() };
    let written = repghost_run(&["data", "shapes", "--output", "set", "--train", "8", "--val", "4", "--size", "96"]);
    assert_eq!(written.code, 0, "{}", written.stderr);
    let images = std::fs::read_dir(folder.path().join("set/train")).unwrap();
    let mut images: Vec<_> = images.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e != "json")).collect();
    images.sort();
    std::fs::write(&images[5], b"no image").unwrap();
    let data = "data:\n  workers: 1\n  on_unreadable_image: skip\n  augment: {resize: {size: 96}}\n";
    let paths =
        "  train: {images: set/train, annotations: set/annotations/instances_train.json}\n  val: {images: set/val, annotations: set/annotations/instances_val.json}\n";
    let rest = &DATA[DATA.find("train:\n").unwrap()..];
    folder.write("e.yaml", &format!("{data}{paths}{rest}{BACKBONE}{RETINANET}"));
    let steps = ["train.max_steps=2"];
    done(&folder, "start", &["train.optimizer.lr=1e-40"]);
    done(&folder, "one", &steps);
    done(&folder, "three", &[&steps[..], &["--nproc", "3"]].concat());
    assert_same(&folder, "three", "one", 2);
    let ran = train(&folder, "strict", &["train.max_steps=2", "data.on_unreadable_image=error", "--nproc", "2"]);
    assert_eq!(errors(&ran).len(), 1, "{}", ran.stderr);
    let name = images[5].file_name().unwrap().to_string_lossy().into_owned();
    assert!(ran.code != 0 && errors(&ran)[0].contains(&name), "{}", ran.stderr);
}

/// Detections of the images that processes share are those of one.
#[test]
fn evaluation_and_prediction_are_shared() {
    let folder = folder(MASK_RCNN);
    done(&folder, "run", &["eval.score_threshold=0.01", "train.max_steps=2"]);
    let shared = |command: &str, output: &str, more: &[&str]| {
        let mut args = vec![command, "run", "--weights", "run/weights/last.safetensors", "--output", output];
        args.extend(more);
        let ran: Ran = repghost().current_dir(folder.path()).env("OMP_NUM_THREADS", "1").args(&args).output().unwrap().into();
        assert_eq!(ran.code, 0, "{command} {more:?}: {}", ran.stderr);
        ran
    };
    let read = |file: &str| std::fs::read(folder.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let baseline = ["--baseline", "run/weights/last.safetensors"];
    let one = shared("eval", "one", &baseline);
    let three = shared("eval", "three", &[&baseline[..], &["--nproc", "3"]].concat());
    assert_eq!(one.stdout, three.stdout, "the table is printed once");
    assert!(read("one/detections.json").len() > 1000, "something is found");
    for file in ["detections.json", "metrics.json"] {
        assert!(read(&format!("one/{file}")) == read(&format!("three/{file}")), "{file}");
    }
    let images = folder.path().join("images");
    std::fs::create_dir_all(&images).unwrap();
    for i in 0..5u32 {
        let picture = repghost_coco::RgbImage::from_fn(60 + 10 * i, 50, |x, y| [(x * y) as u8, (x + i) as u8, y as u8].into());
        repghost_coco::files::write_picture(&images.join(format!("{i}.png")), &picture).unwrap();
    }
    std::fs::write(images.join("broken.png"), "no image").unwrap();
    let predicted = |output: &str, more: &[&str]| {
        let mut args = vec!["predict", "run", "images", "--weights", "run/weights/last.safetensors", "--output", output];
        args.extend(more);
        let ran: Ran = repghost().current_dir(folder.path()).env("OMP_NUM_THREADS", "1").args(&args).output().unwrap().into();
        // An image that cannot be read is a failure, and named once.
        assert_eq!((ran.code, ran.stderr.matches("broken.png").count()), (1, 1), "{}", ran.stderr);
        assert!(ran.stdout.contains("in 5 images"), "{}", ran.stdout);
    };
    predicted("p1", &[]);
    predicted("p2", &["--nproc", "2"]);
    let names = |output: &str| {
        let entries = std::fs::read_dir(folder.path().join(output)).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names("p1"), names("p2"));
    for name in names("p1") {
        assert!(read(&format!("p1/{name}")) == read(&format!("p2/{name}")), "{name}");
    }
    let listed: Ran = repghost()
        .current_dir(folder.path())
        .args(["predict", "run", "-", "--output", "p3", "--nproc", "2"])
        .output()
        .unwrap()
        .into();
    assert_eq!((listed.code, errors(&listed).len()), (2, 1), "{}", listed.stderr);
}

/// A time limit holds for all, by the first process's clock; a sweep's trials may have several processes.
#[test]
fn a_time_limit_and_the_trials_of_a_sweep() {
    let folder = folder(RETINANET);
    let long = ["train.max_steps=null", "train.epochs=10000", "train.max_minutes=0.2", "--nproc", "2"];
    let started = Instant::now();
    done(&folder, "run", &long);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    let log = std::fs::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    let steps = log.lines().filter(|l| l.contains("\"lr\"")).count();
    // Ten thousand epochs have 30,000 steps. A busy machine made five of them in six seconds, so the limit is twelve.
    assert!((6..29_000).contains(&steps), "{steps} steps");
    folder.write("s.yaml", "title: one trial\nbase: e.yaml\nmetric: bbox/AP\naxes: {ema: {off: {train.ema: null}}}\n");
    let sweep = ["sweep", "s.yaml", "--run-dir", "sweep", "--nproc", "2", "--no-latency", "set.train.max_steps=1"];
    let ran: Ran = repghost().current_dir(folder.path()).args(sweep).output().unwrap().into();
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let logs: String = walk(&folder.path().join("sweep"))
        .into_iter()
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .map(|p| std::fs::read_to_string(p).unwrap())
        .collect();
    assert!(logs.contains("2 processes train together"), "{logs}");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// Where a Python with torch is: its launcher starts the same processes.
#[test]
fn torchrun_gives_the_same_bits() {
    let torchrun = std::env::var("TORCHRUN").unwrap_or("torchrun".into());
    let found = Command::new(&torchrun).arg("--help").output().is_ok_and(|o| o.status.success()).then_some(torchrun);
    let Some(torchrun) = repghost_testing::need("torchrun", found, "a Python torch on the PATH, or TORCHRUN=FILE") else {
        return;
    };
    let folder = folder(FASTER_RCNN);
    done(&folder, "own", &["train.max_steps=2", "--nproc", "2"]);
    let port = repghost_distributed::free_port().unwrap().to_string();
    let own = repghost();
    let ran: Ran = Command::new(torchrun)
        .current_dir(folder.path())
        .env("OMP_NUM_THREADS", "1")
        .args(["--no-python", "--nproc-per-node", "2", "--master-port", &port])
        .arg(own.get_program())
        .args(["train", "e.yaml", "train.max_steps=2", "--run-dir", "run"])
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for ((name, a), (_, b)) in tensors(&folder, "own").iter().zip(&tensors(&folder, "run")) {
        assert!(a.equal(b), "{name}");
    }
}

#[test]
fn a_classifier_too() {
    let folder = Folder::new(&[]);
    for class in ["circle", "square"] {
        for i in 0..5u32 {
            let path = folder.path().join(format!("images/{class}/{i}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let picture = repghost_coco::RgbImage::from_fn(40, 40, |x, y| {
                let value = if class == "circle" { (x * y + i * 7) % 251 } else { (x + 3 * y + i) % 239 };
                [value as u8, (value / 2) as u8, (x * 5) as u8].into()
            });
            repghost_coco::files::write_picture(&path, &picture).unwrap();
        }
    }
    let data = "task: classification\ndata:\n  source: image_folder\n  train: {images: images}\n  val: {images: images}\n  workers: 1\n  classify: {size: 32}\n";
    let rest = &DATA[DATA.find("train:\n").unwrap()..];
    let model = "model:\n  backbone: {name: repghostnet, width: 0.25, dropout: 0.2}\n  head: {name: classifier}\n";
    folder.write("e.yaml", &format!("{data}{rest}{model}"));
    let more = ["train.accumulate=2", "train.eval_every=1"];
    done(&folder, "start", &["train.optimizer.lr=1e-40"]);
    done(&folder, "one", &more);
    done(&folder, "three", &[&more[..], &["--nproc", "3"]].concat());
    assert_same(&folder, "three", "one", 1);
    let read = |run: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.path().join(run).join("metrics.json")).unwrap()).unwrap()
    };
    let (one, three) = (read("one"), read("three"));
    let loss = |v: &serde_json::Value| v["loss"].as_f64().unwrap();
    assert!((loss(&one) - loss(&three)).abs() < 1e-5, "{one} {three}");
    assert_eq!((&one["images"], &one["top1"]), (&three["images"], &three["top1"]));
}

/// Processes of a run by rank, through their environment.
fn ranks(launcher: u32) -> Vec<(usize, i32)> {
    let mut found = vec![];
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let status = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent: Option<i32> =
            status.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).and_then(|p| p.parse().ok());
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let rank = environment.split(|b| *b == 0).find_map(|v| v.strip_prefix(b"RANK="));
        if let (Some(parent), Some(rank)) = (parent, rank) {
            if parent == launcher as i32 {
                found.push((String::from_utf8_lossy(rank).parse().unwrap(), pid));
            }
        }
    }
    found.sort_unstable();
    found
}

/// Starts a long run of two processes and waits until it has made some steps.
fn long_run(folder: &Folder, more: &[&str]) -> std::process::Child {
    let long = ["train.max_steps=100000", "train.epochs=100000", "train.checkpoint.every_epochs=1", "--nproc", "2"];
    let mut command = command(folder, "run", &[&long[..], more].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = folder.path().join("run/metrics.jsonl");
    let before = std::fs::read_to_string(&log).map_or(0, |t| t.lines().count());
    wait_for("steps", || std::fs::read_to_string(&log).is_ok_and(|t| t.lines().count() > before + 6));
    child
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: a process of this test.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

fn ended(child: std::process::Child) -> (Ran, Duration) {
    let started = Instant::now();
    let ran: Ran = child.wait_with_output().unwrap().into();
    (ran, started.elapsed())
}

fn errors(ran: &Ran) -> Vec<&str> {
    ran.stderr.lines().filter(|l| l.starts_with("error:")).collect()
}

fn is_gone(pid: i32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_killed_process_ends_the_others_and_a_restart_goes_on() {
    let folder = folder(RETINANET);
    let child = long_run(&folder, &[]);
    let both = ranks(child.id());
    assert_eq!(both.len(), 2, "{both:?}");
    signal(both[1].1, libc::SIGKILL);
    let (ran, time) = ended(child);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(time < Duration::from_secs(6), "{time:?}");
    assert_eq!(errors(&ran), ["error: rank 1 was ended by signal 9; all processes were stopped"], "{}", ran.stderr);
    assert!(both.iter().all(|(_, pid)| is_gone(*pid)));
    // The newest checkpoint is whole: the run goes on from it, is killed again, and starts again by itself.
    let child = long_run(&folder, &["--resume", "--restarts", "1"]);
    signal(ranks(child.id())[0].1, libc::SIGKILL);
    let log = folder.path().join("run/metrics.jsonl");
    let started = Instant::now();
    std::thread::sleep(Duration::from_millis(500));
    wait_for("steps after a restart", || {
        std::fs::metadata(&log)
            .and_then(|m| m.modified())
            .is_ok_and(|t| t.elapsed().unwrap_or_default() < Duration::from_millis(200))
            && started.elapsed() > Duration::from_secs(3)
    });
    // Ctrl-C ends all in good order.
    signal(child.id() as i32, libc::SIGINT);
    let (ran, _) = ended(child);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!(ran.stderr.contains("restart 1 of 1 from the newest checkpoint"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("frame #"), "no C++ stack: {}", ran.stderr);
    assert!(ran.stderr.contains("resuming after step"), "{}", ran.stderr);
}

#[test]
fn a_process_that_hangs_ends_the_run_after_the_timeout() {
    let folder = folder(RETINANET);
    let child = long_run(&folder, &["train.distributed.timeout_s=3"]);
    let both = ranks(child.id());
    signal(both[1].1, libc::SIGSTOP);
    let (ran, time) = ended(child);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(time < Duration::from_secs(15), "{time:?}");
    let line = "error: rank 1 did not answer within train.distributed.timeout_s; all processes were stopped";
    assert_eq!(errors(&ran), [line], "{}", ran.stderr);
    assert!(both.iter().all(|(_, pid)| is_gone(*pid)));
}

/// Processes that a launcher of another kind started, with torchrun's variables, for two different runs.
#[test]
fn processes_of_different_runs_are_refused_with_both_values() {
    let folder = folder(RETINANET);
    let port = repghost_distributed::free_port().unwrap().to_string();
    let start = |rank: &str, batch: &str| {
        let mut command = command(&folder, "run", &[batch]);
        command.envs([("RANK", rank), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", &port)]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [start("0", "train.batch_size=4"), start("1", "train.batch_size=6")];
    for child in both {
        let (ran, _) = ended(child);
        assert_eq!(ran.code, 2);
        let line = "error: train.batch_size differs: rank 0 has 4, rank 1 has 6; start all processes alike";
        assert_eq!(errors(&ran), [line], "{}", ran.stderr);
    }
    assert!(!folder.path().join("run").exists(), "nothing was written");
}

#[test]
fn mistakes_are_one_line_however_many_processes() {
    let folder = folder(RETINANET);
    let ran = train(&folder, "run", &["train.batch_size=1", "--nproc", "2"]);
    assert_eq!((ran.code, errors(&ran).len()), (2, 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("train.batch_size: is 1, too small for 2 processes"), "{}", ran.stderr);
    let ran = train(&folder, "run", &["train.batch_sise=1", "--nproc", "2"]);
    assert_eq!((ran.code, errors(&ran).len()), (2, 1), "{}", ran.stderr);
    let ran = train(&folder, "run", &["--nproc", "0"]);
    assert_eq!(ran.code, 2);
    let ran = train(&folder, "run", &["train.distributed.engine=nccl", "--nproc", "2"]);
    assert_eq!((ran.code, errors(&ran).len()), (2, 1), "{}", ran.stderr);
    let line = "train.distributed.engine: is nccl, but rank 0 computes on the CPU; expected auto, which takes what there is";
    assert!(ran.stderr.contains(line), "{}", ran.stderr);
    assert!(!folder.path().join("run").exists(), "nothing was written");
    // Read before anything starts, and by all of them: the loss of one process is never the others' wait.
    let ran =
        train(&folder, "nan", &["train.optimizer.lr=1e30", "train.max_steps=5", "train.clip_grad_norm=null", "--nproc", "2"]);
    assert_eq!((ran.code, errors(&ran).len()), (1, 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("not finite"), "{}", ran.stderr);
}
