//! Images in tar archives, wherever a folder of images is expected.

mod common;

use std::path::Path;
use std::process::Command;

use common::{kill_when, repghost, Folder, Ran};
use repghost_coco::shards::{write_shards, Bytes, Member};

const EXPERIMENT: &str = "
data:
  workers: 1
  augment: {resize: {size: 64}}
  train: {images: set/train, annotations: set/annotations/instances_train.json}
  val: {images: set/val, annotations: set/annotations/instances_val.json}
model:
  backbone: {name: repghostnet, width: 0.25}
  fpn: {channels: 16}
  head: {name: retinanet, tower_depth: 1}
train:
  max_steps: 3
  epochs: 3
  batch_size: 4
  eval_every: 1
  optimizer: {name: sgd, lr: 1e-3}
";

fn run(folder: &Folder, args: &[&str]) -> Ran {
    repghost().current_dir(folder.path()).env("OMP_NUM_THREADS", "1").args(args).output().unwrap().into()
}

fn done(folder: &Folder, args: &[&str]) -> Ran {
    let ran = run(folder, args);
    assert_eq!(ran.code, 0, "{args:?}: {}", ran.stderr);
    ran
}

fn refused(folder: &Folder, args: &[&str], parts: &[&str]) {
    let ran = run(folder, args);
    let errors: Vec<&str> = ran.stderr.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!((ran.code, errors.len()), (2, 1), "{args:?}: {}", ran.stderr);
    for part in parts {
        assert!(errors[0].contains(part), "{part}: {}", errors[0]);
    }
}

/// A set in folders, and its training images in several shards, in an order of their own.
fn set() -> Folder {
    let folder = Folder::new(&[("e.yaml", EXPERIMENT)]);
    done(&folder, &["data", "shapes", "--output", "set", "--train", "12", "--val", "4", "--size", "64"]);
    let mut names = names(&folder, "set/train");
    names.rotate_left(5);
    let member =
        |name: &String| vec![Member { name: name.clone(), bytes: Bytes::File(folder.path().join("set/train").join(name)) }];
    let groups: Vec<_> = names.iter().map(member).collect();
    let size = std::fs::metadata(folder.path().join("set/train").join(&names[0])).unwrap().len() * 5;
    let written = write_shards(&folder.path().join("shards"), &groups, size, "test", &|_, _| ()).unwrap();
    assert!(written.shards >= 3 && written.members == 12, "{written:?}");
    folder
}

/// Names in a folder, sorted; none where it isn't there.
fn names(folder: &Folder, of: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder.path().join(of)) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn bytes(folder: &Folder, file: &str) -> Vec<u8> {
    std::fs::read(folder.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// Weights alone: the file's metadata names the paths of its data.
fn weights(folder: &Folder, run: &str) -> Vec<(String, tch::Tensor)> {
    let state = repghost_backbone::weights::read(folder.path().join(run).join("weights/last.safetensors")).unwrap();
    state.tensors.into_iter().collect()
}

#[test]
fn shards_train_evaluate_and_predict_as_folders_do() {
    let folder = set();
    done(&folder, &["train", "e.yaml", "--run-dir", "a"]);
    done(&folder, &["train", "e.yaml", "--run-dir", "b", "data.train.images=shards"]);
    done(&folder, &["train", "e.yaml", "--run-dir", "c", "data.train.images=shards/shard-*.tar", "data.shard_window=1"]);
    let same = |x: &str, y: &str| weights(&folder, x).iter().zip(&weights(&folder, y)).all(|((_, a), (_, b))| a.equal(b));
    assert!(same("a", "b"), "the same images in the same order");
    assert!(!same("a", "c"), "one shard after another is another order");
    let measured =
        ["eval", "a", "--weights", "a/weights/last.safetensors", "data.val.annotations=set/annotations/instances_train.json"];
    done(&folder, &[&measured[..], &["data.val.images=set/train", "--output", "e1"]].concat());
    done(&folder, &[&measured[..], &["data.val.images=shards/shard-{000000..000002}.tar", "--output", "e2"]].concat());
    assert!(bytes(&folder, "e1/detections.json") == bytes(&folder, "e2/detections.json"));
    let predicted = done(&folder, &["predict", "a", "shards/shard-000000.tar", "--output", "p"]);
    assert!(predicted.stdout.contains("images: p/detections.json"), "{}", predicted.stdout);
    let check = ["data", "check", "--annotations", "set/annotations/instances_train.json", "--images"];
    let (one, other) =
        (done(&folder, &[&check[..], &["set/train"]].concat()), done(&folder, &[&check[..], &["shards"]].concat()));
    assert_eq!(one.stdout.replace("set/train", "X"), other.stdout.replace("shards", "X"));
}

#[test]
fn damaged_shards_are_one_line() {
    let folder = set();
    let train = ["train", "e.yaml", "--run-dir", "a", "data.train.images=shards"];
    let path = folder.path().join("shards/shard-000001.tar");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refused(&folder, &train, &["shards/shard-000001.tar", "is damaged behind"]);
    std::fs::write(&path, &whole).unwrap();
    std::fs::copy(&path, folder.path().join("shards/shard-000009.tar")).unwrap();
    refused(&folder, &train, &["twice, in shards/shard-000001.tar and shards/shard-000009.tar"]);
    std::fs::remove_file(folder.path().join("shards/shard-000009.tar")).unwrap();
    std::fs::remove_file(folder.path().join("shards/shard-000000.tar")).unwrap();
    refused(&folder, &train, &["it is in none of the"]);
    refused(&folder, &["train", "e.yaml", "--run-dir", "a", "data.train.images=no-*.tar"], &["no-*.tar"]);
    assert!(!folder.path().join("a").exists(), "nothing was written");
}

#[test]
fn a_class_tree_in_shards() {
    let folder = set();
    let crops =
        ["data", "crops", "--annotations", "set/annotations/instances_train.json", "--images", "shards", "--output", "crops"];
    done(&folder, &crops);
    let stored = done(&folder, &["data", "shard", "--images", "crops/train", "--output", "classes"]);
    assert!(stored.stdout.contains(" images in 1 shards"), "{}", stored.stdout);
    let experiment = "task: classification\ndata:\n  source: image_folder\n  train: {images: crops/train}\n  val: {images: crops/train}\n  workers: 1\n  classify: {size: 32}\nmodel:\n  backbone: {name: repghostnet, width: 0.25}\n  head: {name: classifier}\ntrain: {max_steps: 2, batch_size: 8}\n";
    folder.write("c.yaml", experiment);
    done(&folder, &["train", "c.yaml", "--run-dir", "one"]);
    done(&folder, &["train", "c.yaml", "--run-dir", "two", "data.train.images=classes", "data.val.images=classes"]);
    let top1 = |run: &str, images: &str| {
        let weights = format!("{run}/weights/last.safetensors");
        let output = format!("{run}-{}", images.replace('/', "-"));
        done(&folder, &["eval", run, "--weights", &weights, &format!("data.val.images={images}"), "--output", &output]);
        let value: serde_json::Value = serde_json::from_slice(&bytes(&folder, &format!("{output}/metrics.json"))).unwrap();
        (value["images"].as_u64(), value["top1"].as_f64(), value["loss"].as_f64().map(|l| (l * 1e5).round()))
    };
    assert_eq!(top1("one", "crops/train"), top1("one", "classes"), "the same images with the same classes");
    refused(&folder, &["data", "shard", "--images", "crops/train", "--output", "classes"], &["is there already"]);
}

/// What Python's tarfile writes (long names, pax headers, folders before the names) is read here, and the other way round.
#[test]
fn pythons_archives_are_read_and_ours_by_python() {
    let found = Command::new("python3").arg("--version").output().is_ok_and(|o| o.status.success()).then_some("python3");
    let Some(python) = repghost_testing::need("python", found, "python3 on the PATH") else { return };
    let folder = set();
    let script = r#"
import os, sys, tarfile
root = sys.argv[1]
names = sorted(os.listdir(f"{root}/set/train"))
ours = {}
for shard in sorted(os.listdir(f"{root}/shards")):
    with tarfile.open(f"{root}/shards/{shard}") as tar:
        for member in tar:
            ours[member.name] = tar.extractfile(member).read()
assert sorted(ours) == names, sorted(ours)
assert all(ours[n] == open(f"{root}/set/train/{n}", "rb").read() for n in names)
os.mkdir(f"{root}/python")
for i, form in enumerate([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]):
    with tarfile.open(f"{root}/python/{i}.tar", "w", format=form) as tar:
        tar.add(f"{root}/set/train", "./" + "long/" * 40, recursive=False)
        for name in names[i::2]:
            tar.add(f"{root}/set/train/{name}", "./" + "long/" * 40 + name)
"#;
    let ran: Ran = Command::new(python).args(["-c", script]).arg(folder.path()).output().unwrap().into();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let check = ["data", "check", "--annotations", "set/annotations/instances_train.json", "--images", "python"];
    done(&folder, &check);
    assert!(Path::new(&folder.path().join("python/1.tar")).exists());
}

/// One shard after another, in an order that does not depend on how many processes share it; a resume goes on within it.
#[test]
fn several_processes_read_shards_in_one_order() {
    let folder = set();
    // Steps so small that their rounding does not grow; another order of images moves the weights by far more.
    let train = |run: &str, more: &[&str]| {
        let own = ["train", "e.yaml", "--run-dir", run, "data.train.images=shards", "data.augment.hflip=0"];
        let same = ["train.batch_norm.sync=true", "train.optimizer.lr=2e-4", "train.kernels=libtorch", "train.eval_every=0"];
        done(&folder, &[&own[..], &same, more].concat());
    };
    let apart = |a: &str, b: &str| {
        let square = |t: tch::Tensor| f64::try_from(t.to_kind(tch::Kind::Double).square().sum(tch::Kind::Double)).unwrap();
        let trained = |run| weights(&folder, run).into_iter().filter(|(name, _)| name.ends_with("weight"));
        trained(a).zip(trained(b)).map(|((_, a), (_, b))| square(a - b)).sum::<f64>().sqrt()
    };
    let window = "data.shard_window=1";
    train("one", &[window]);
    train("two", &[window, "--nproc", "2"]);
    train("three", &[window, "--nproc", "3"]);
    train("parts", &[window, "train.max_steps=1", "--nproc", "2"]);
    train("parts", &[window, "train.max_steps=2", "--resume"]);
    train("parts", &[window, "--resume", "--nproc", "3"]);
    train("other", &[]);
    let other = apart("other", "one");
    for run in ["two", "three", "parts"] {
        let found = apart(run, "one");
        assert!(found < other / 20.0, "{run}: {found}, another order: {other}");
    }
}

#[test]
fn sheets_and_statistics_take_shards() {
    let folder = set();
    done(&folder, &["data", "browse", "e.yaml", "--output", "a.png"]);
    done(&folder, &["data", "browse", "e.yaml", "data.train.images=shards", "--output", "b.png"]);
    assert!(bytes(&folder, "a.png") == bytes(&folder, "b.png"));
    let stats = ["data", "stats", "--annotations", "set/annotations/instances_train.json", "--images"];
    let numbers = |images: &str| done(&folder, &[&stats[..], &[images]].concat()).stdout.replace(images, "X");
    assert_eq!(numbers("set/train"), numbers("shards"));
}

/// Killed between two archives: marked, refused as training data, and the same command makes it whole.
#[test]
fn archives_that_were_killed_go_on() {
    let folder = Folder::new(&[("e.yaml", EXPERIMENT)]);
    done(&folder, &["data", "shapes", "--output", "set", "--train", "240", "--val", "4", "--size", "320"]);
    let annotations = "set/annotations/instances_train.json";
    let shard = |output: &'static str| {
        ["data", "shard", "--annotations", annotations, "--images", "set/train", "--size-mb", "1", "--output", output]
    };
    done(&folder, &shard("whole"));
    let whole = names(&folder, "whole");
    assert!(whole.len() > 3, "{whole:?}");
    kill_when(repghost().args(shard("killed")).current_dir(folder.path()), "archive", || names(&folder, "killed").len() >= 2);
    let part = names(&folder, "killed");
    assert!(part.iter().any(|name| name == ".incomplete"), "it was quicker than its killer: {part:?}");
    refused(&folder, &["train", "e.yaml", "--run-dir", "a", "data.train.images=killed"], &["is not complete"]);
    // Killed before the first archive had its name.
    folder.write("early/.incomplete", "");
    folder.write("early/.shard-000000.tar.x1.tmp", "");
    refused(&folder, &["train", "e.yaml", "--run-dir", "a", "data.train.images=early"], &["early", "is not complete"]);
    done(&folder, &shard("killed"));
    assert_eq!(names(&folder, "killed"), whole);
    for name in &whole {
        assert!(bytes(&folder, &format!("whole/{name}")) == bytes(&folder, &format!("killed/{name}")), "{name}");
    }
}
