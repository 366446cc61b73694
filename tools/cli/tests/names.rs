//! Published weights by name, as their users meet them. Nothing is fetched from outside this machine.

mod common;

use std::path::Path;

use common::{repghost, Folder, Ran};
use serde_json::Value;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Runs with caches below the folder and without a network.
fn offline(folder: &Folder, args: &[&str]) -> Ran {
    let mut command = repghost();
    command.current_dir(folder.path()).args(args).env("HF_HOME", folder.path().join("hf")).env("HF_HUB_OFFLINE", "1");
    for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
        command.env_remove(name);
    }
    command.env("TORCH_HOME", folder.path().join("torch")).output().expect("the binary starts").into()
}

/// Puts a file into the hub's cache, as a copy without links.
fn cached(folder: &Folder, repository: &str, file: &str, from: &Path) {
    let of = folder.path().join("hf/hub").join(format!("models--{}", repository.replace('/', "--")));
    std::fs::create_dir_all(of.join("refs")).unwrap();
    std::fs::write(of.join("refs/main"), COMMIT).unwrap();
    let snapshot = of.join("snapshots").join(COMMIT);
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::copy(from, snapshot.join(file)).unwrap();
}

#[test]
fn names_are_listed_with_what_is_here() {
    let folder = Folder::new(&[("w", "weights")]);
    cached(&folder, "timm/repghostnet_130.in1k", "model.safetensors", &folder.path().join("w"));
    let out = offline(&folder, &["weights", "list", "RepGhostNet"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert_eq!(out.stdout.lines().count(), 9, "a header and eight widths: {}", out.stdout);
    let line = out.stdout.lines().find(|l| l.starts_with("timm/repghostnet_130.in1k")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..4], ["backbone", "mit", "yes"], "{line}");
    let json: Value = serde_json::from_str(&offline(&folder, &["weights", "list", "--json"]).stdout).unwrap();
    let here: Vec<&Value> = json.as_array().unwrap().iter().filter(|e| !e["path"].is_null()).collect();
    assert!(here.len() == 1 && here[0]["file"] == "model.safetensors", "{here:?}");
    assert!(json.as_array().unwrap().iter().all(|e| e["licence"].as_str().is_some_and(|l| !l.is_empty())));
    let place = offline(&folder, &["weights", "where", "timm/repghostnet_130.in1k"]);
    assert_eq!((place.code, std::fs::read_to_string(place.stdout.trim()).unwrap().as_str()), (0, "weights"));
    let none = offline(&folder, &["weights", "list", "vit"]);
    assert!(none.code == 2 && none.stderr.contains("no published name contains 'vit'"), "{}", none.stderr);
}

#[test]
fn what_cannot_be_had_is_one_line_with_a_way_out() {
    let folder = Folder::new(&[]);
    for (args, expected) in [
        (&["weights", "where", "torchvision/resnet50"][..], "`repghost-det weights fetch torchvision/resnet50` puts it there"),
        (&["weights", "fetch", "timm/repghostnet_130.in1k"], "HF_HUB_OFFLINE forbids to fetch it"),
        (&["weights", "fetch", "timm/repghostnet_13.in1k"], "did you mean timm/repghostnet_1"),
        (&["weights", "fetch", "a.pth"], "is no published name"),
        (&["train", "demo", "init.backbone=timm/repghostnet_050"], "init.backbone: timm/repghostnet_050: no published weights"),
        (&["train", "demo", "init.backbone=timm/repghostnet_050.in1k"], "init.backbone: timm/repghostnet_050.in1k: not in "),
        (&["train", "demo", "init.backbone=nowhere.pth"], "a name of `repghost-det weights list`"),
        (&["predict", "demo", "--weights", "hf:org/net", "--output", "out", "a.jpg"], "expected hf:ORG/NAME/FILE"),
        (&["data", "fetch", "coco2018", "--output", "out"], "expected coco2017"),
        (&["data", "fetch", "coco2017", "--output", "out", "--only", "test"], "it has annotations, val, train"),
        (&["data", "fetch", "coco2017", "--output", "out", "--from", "http://127.0.0.1:1"], "http://127.0.0.1:1/annotations/"),
    ] {
        let out = offline(&folder, args);
        assert_eq!(out.code, 2, "{args:?}: {}", out.stderr);
        let last = out.stderr.trim_end().lines().last().unwrap_or_default().to_string();
        assert!(last.starts_with("error: ") && last.contains(expected), "{args:?}: {}", out.stderr);
    }
    assert!(!folder.path().join("runs").exists(), "nothing was started");
}

/// A run starts from a file of the cache, which it names.
#[test]
fn training_starts_from_a_name() {
    let folder = Folder::new(&[]);
    let small =
        ["data.shapes.train_images=4", "data.shapes.val_images=2", "train.batch_size=2", "train.max_steps=1", "train.replicas=1"];
    let first = offline(&folder, &[&["train", "demo", "--run-dir", "a"], &small[..]].concat());
    assert_eq!(first.code, 0, "{}", first.stderr);
    cached(&folder, "org/net", "w.safetensors", &folder.path().join("a/weights/last.safetensors"));
    let name = "init.backbone=hf:org/net/w.safetensors";
    let second = offline(&folder, &[&["train", "demo", name, "--run-dir", "b"], &small[..]].concat());
    assert_eq!(second.code, 0, "{}", second.stderr);
    let note = second.stderr.lines().find(|l| l.contains("init.backbone") && l.contains("loaded")).unwrap_or_default();
    assert!(note.contains("models--org--net"), "{}", second.stderr);
}

/// The proxy gets the request, and looks the hub's name up itself.
#[test]
fn proxies_are_heeded() {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        stream.write_all(b"HTTP/1.1 403 no\r\nContent-Length: 0\r\n\r\n").unwrap();
        line
    });
    let folder = Folder::new(&[]);
    let mut command = repghost();
    for name in
        ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"]
    {
        command.env_remove(name);
    }
    command.env("HF_HOME", folder.path()).env("HTTPS_PROXY", proxy).env("HF_ENDPOINT", "https://hub.invalid");
    let out: Ran = command.args(["weights", "fetch", "timm/repghostnet_130.in1k"]).output().unwrap().into();
    let line = asked.join().unwrap();
    assert!(line.starts_with("CONNECT hub.invalid:443 "), "{line}");
    assert_eq!(out.code, 2, "{}", out.stderr);
    assert!(
        out.stderr.contains("https://hub.invalid/timm/repghostnet_130.in1k/resolve/main/model.safetensors: "),
        "{}",
        out.stderr
    );
}
