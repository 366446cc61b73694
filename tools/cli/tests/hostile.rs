//! Files from strangers: what has no end, asks for gigabytes, or holds control characters. One line, exit code 2, in bounded memory.
#![cfg(unix)]

mod common;

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use common::{kill_when, repghost, Folder, Ran};
use repghost_export::metadata::Metadata;
use repghost_export::onnx::proto;

/// Seconds after which a command hangs.
const HANGS: u64 = 120;

/// Runs the binary with at most so much address space, in MiB.
fn run_within(folder: &Folder, mebibytes: u64, args: &[&str]) -> Ran {
    let binary = env!("CARGO_BIN_EXE_repghost-det");
    let mut command = Command::new("sh");
    let limited = format!("ulimit -v {}; exec timeout {HANGS} {binary} \"$@\"", mebibytes << 10);
    let ran = command.args(["-c", &limited, "sh"]).args(args).current_dir(folder.path()).output().expect("a shell").into();
    let Ran { code, stderr, .. } = &ran;
    assert!(*code != 124, "{args:?} hangs: {stderr}");
    ran
}

/// One line that begins with `error: ` and has `part`, and exit code 2.
fn refused(ran: &Ran, part: &str) {
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(part), "{part}: {}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
}

const SMALL: &str = r#"{"images": [{"id": 1, "file_name": "a.png", "height": 64, "width": 64}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 8, 20, 20], "area": 400, "iscrowd": 0}],
    "categories": [{"id": 1, "name": "ant"}]}"#;

/// Whatever file is named: a device, or a pipe that nobody writes to, is refused at once.
#[test]
fn devices_and_pipes_are_refused_whatever_reads_them() {
    let folder = Folder::new(&[("a.json", SMALL), ("e.yaml", "data: {train: {annotations: zero.json}}\n")]);
    for name in ["zero.json", "zero.onnx", "zero.pth", "zero.png", "zero.xml"] {
        symlink("/dev/zero", folder.path().join(name)).unwrap();
    }
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    std::fs::create_dir(folder.path().join("images")).unwrap();
    symlink("/dev/zero", folder.path().join("images/a.png")).unwrap();
    for file in ["zero.json", "pipe"] {
        for command in [
            &["data", "check", "--annotations", file][..],
            &["data", "stats", "--annotations", file],
            &["data", "convert", "--annotations", file, "--output", "out.json"],
            &["eval", "--annotations", file, "--detections", "a.json"],
            &["eval", "--annotations", "a.json", "--detections", file],
            &["eval", "--annotations", "a.json", "--detections", "a.json", "--thresholds", file],
        ] {
            let ran = run_within(&folder, 8192, command);
            let part = if command.contains(&"--thresholds") { "a.json" } else { file };
            refused(&ran, part);
        }
        refused(&run_within(&folder, 8192, &["weights", "inspect", file]), "not a regular file");
    }
    refused(&run_within(&folder, 8192, &["config", "zero.json"]), "longer than 8 MiB");
    refused(&run_within(&folder, 8192, &["config", "pipe"]), "a named pipe");
    refused(&run_within(&folder, 8192, &["predict", "zero.onnx", "a.json", "--output", "out"]), "zero.onnx");
    let images = run_within(&folder, 8192, &["data", "check", "--annotations", "a.json", "--images", "images"]);
    assert!(images.code == 2 && images.stdout.contains("not a regular file"), "{}{}", images.stdout, images.stderr);
}

/// 20,000 detections against 20,000 objects in one image: all pairs would take 3.2 GB, of which the protocol counts a two-hundredth.
#[test]
fn evaluation_holds_what_the_protocol_counts() {
    const COUNT: usize = 20_000;
    let mut truth = String::new();
    let mut found = String::new();
    for i in 0..COUNT {
        let (x, y) = (i % 200 * 20, i / 200 * 20);
        let comma = if i == 0 { "" } else { "," };
        write!(truth, r#"{comma}{{"id":{},"image_id":1,"category_id":1,"bbox":[{x},{y},10,10],"area":100,"iscrowd":0}}"#, i + 1)
            .unwrap();
        let score = 1.0 - i as f64 / COUNT as f64;
        write!(found, r#"{comma}{{"image_id":1,"category_id":1,"bbox":[{x},{y},10,10],"score":{score}}}"#).unwrap();
    }
    let image = r#"{"id":1,"file_name":"a.png","height":4000,"width":4000}"#;
    let truth = format!(r#"{{"images":[{image}],"annotations":[{truth}],"categories":[{{"id":1,"name":"ant"}}]}}"#);
    let folder = Folder::new(&[("gt.json", &truth), ("dt.json", &format!("[{found}]"))]);
    let ran = run_within(&folder, 2048, &["eval", "--annotations", "gt.json", "--detections", "dt.json", "--output", "out"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // A hundred of 20,000 objects are found: a recall of 0.005, so that one of 101 recall points has precision 1.
    let text = std::fs::read_to_string(folder.path().join("out/metrics.json")).unwrap();
    let numbers: serde_json::Value = serde_json::from_str(&text).unwrap();
    let near = |name: &str, wanted: f64| (numbers["bbox"][name].as_f64().unwrap() - wanted).abs() < 1e-12;
    assert!(near("AR100", 0.005) && near("AP", 1.0 / 101.0), "{text}");
}

/// Experiments that would grow without bound: read at once, or refused in one line.
#[test]
fn experiments_that_grow_are_read_or_refused() {
    let folder = Folder::new(&[("b0.yaml", "train: {epochs: 3}\n")]);
    for i in 1..=26 {
        folder.write(&format!("b{i}.yaml"), &format!("_base_: [b{}.yaml, b{}.yaml]\n", i - 1, i - 1));
    }
    let doubled = run_within(&folder, 8192, &["config", "b26.yaml"]);
    let inherited = |line: &str| line.trim_start().starts_with("epochs: 3 ") && line.ends_with("# b0.yaml");
    assert!(doubled.code == 0 && doubled.stdout.lines().any(inherited), "{}{}", doubled.stdout, doubled.stderr);
    let keys: String = (0..200_000).map(|i| format!("k{i}: {i}\n")).collect();
    let below: String = (0..200_000).map(|i| format!("  k{i}: {i}\n")).collect();
    let classes: Vec<String> = (0..100_000).map(|i| format!("c{i}")).collect();
    let classes = classes.join(", ");
    let anchors = (1..100_000).map(|i| i.to_string()).collect::<Vec<_>>().join(", ");
    for (name, text) in [
        ("keys.yaml", keys),
        ("below.yaml", format!("train:\n{below}")),
        ("classes.yaml", format!("data: {{classes: [{classes}]}}\n")),
        ("listed.yaml", format!("data: {{classes: {anchors}]}}\n")),
        ("brackets.yaml", format!("data: {}{}\n", "[".repeat(100_000), "]".repeat(100_000))),
        ("braces.yaml", format!("data: {}\n", "{a: ".repeat(100_000))),
        ("indented.yaml", (0..5000).map(|i| format!("{}a:\n", " ".repeat(i))).collect()),
        ("aliases.yaml", aliases()),
        ("text.yaml", format!("train: {{epochs: {}}}\n", "x".repeat(1 << 20))),
    ] {
        folder.write(name, &text);
        let ran = run_within(&folder, 8192, &["config", name]);
        assert!([0, 2].contains(&ran.code), "{name}: {} {}", ran.code, ran.stderr);
        assert!(ran.stderr.len() < 4096 && ran.stderr.lines().count() <= 1, "{name}: {} bytes", ran.stderr.len());
    }
}

/// A billion laughs: nine levels of ten references to the level below.
fn aliases() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_string();
    for i in 1..10 {
        let refers = vec![format!("*a{}", i - 1); 10].join(", ");
        writeln!(text, "a{i}: &a{i} [{refers}]").unwrap();
    }
    text
}

/// Names from a file are printed without what a terminal would obey, and long ones are cut.
#[test]
fn control_characters_reach_no_terminal() {
    let evil = "red\u{1b}[31m\u{9b}2J\u{7}\u{202e}";
    let json = serde_json::to_string(evil).unwrap();
    let long = serde_json::to_string(&"y".repeat(100_000)).unwrap();
    let file = |name: &str, image: &str| SMALL.replace("\"ant\"", name).replace("\"a.png\"", image);
    let bad = SMALL.replace("[8, 8, 20, 20]", "[8, 8, -20, 20]");
    let folder = Folder::new(&[
        ("names.json", &file(&json, &json)),
        ("long.json", &file(&long, &long)),
        ("bad.json", &bad.replace("\"a.png\"", &json)),
        ("found.json", r#"[{"image_id": 1, "category_id": 1, "bbox": [8, 8, 20, 20], "score": 0.5}]"#),
        ("e.yaml", "run: {dir: \"a\\e[31mb\"}\n"),
    ]);
    std::fs::create_dir(folder.path().join("images")).unwrap();
    let harmful = |c: char| c.is_control() && c != '\n' && c != '\t' || c == '\u{202e}';
    for args in [
        &["data", "stats", "--annotations", "names.json"][..],
        &["data", "stats", "--annotations", "names.json", "--json"],
        &["data", "check", "--annotations", "names.json", "--images", "images"],
        &["data", "check", "--annotations", "bad.json"],
        &["data", "check", "--annotations", "bad.json", "--json"],
        &["data", "crops", "--annotations", "names.json", "--images", "images", "--output", "crops"],
        &["data", "split", "--annotations", "bad.json", "--output", "split"],
        &["eval", "--annotations", "names.json", "--detections", "found.json"],
        &["eval", "--annotations", "names.json", "--detections", "found.json", "--classes", evil],
        &["eval", "--annotations", "names.json", "--detections", "found.json", "--classes", "\u{1b}[1mx"],
        &["config", "e.yaml"],
        &["config", "e.yaml", "train.epochs=\u{1b}[31m"],
        &["config", "\u{1b}[31m.yaml"],
        &["train", "e.yaml", "data.train.annotations=\u{1b}]0;x\u{7}"],
    ] {
        let ran = folder.run(args);
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.chars().any(harmful), "{args:?}: {text:?}");
        }
        if args.contains(&"--json") {
            serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap();
        }
    }
    for args in [
        &["eval", "--annotations", "long.json", "--detections", "found.json", "--classes", "x"][..],
        &["config", "e.yaml", &format!("train.epochs={}", "z".repeat(100_000))],
        &["config", "e.yaml", &format!("{}=1", "k".repeat(100_000))],
        &["data", "crops", "--annotations", "long.json", "--images", "images", "--output", "crops"],
    ] {
        let ran = folder.run(args);
        assert!(ran.code == 2 && ran.stderr.len() < 4096, "{} bytes: {:.300}", ran.stderr.len(), ran.stderr);
    }
}

/// An exported file that gives its input sizes that no image has.
#[test]
fn onnx_inputs_without_a_size_are_refused_by_name() {
    let folder = Folder::new(&[]);
    let (image, _) = repghost_coco::shapes::generate(1, 0, &repghost_coco::shapes::ShapesConfig::default());
    image.save(folder.path().join("a.png")).unwrap();
    let named = |value: Option<i64>| proto::Dimension { dim_value: value, dim_param: value.is_none().then(|| "H".into()) };
    for side in [Some(0), Some(-1), Some(1_000_000_000), Some(1 << 62), None] {
        let shape = proto::Shape { dim: [Some(1), Some(3), side, Some(64)].map(named).to_vec() };
        let tensor_type = Some(proto::TensorType { elem_type: Some(1), shape: Some(shape) });
        let input = proto::ValueInfo { name: Some("pictures".into()), r#type: Some(proto::Type { tensor_type }) };
        let graph = Some(proto::Graph { input: vec![input], ..Default::default() });
        let mut model = proto::Model { graph, ..Default::default() };
        let pairs = [("format", "repghost-det onnx 1"), ("part", "detector"), ("classes", "[]"), ("experiment", "{}")];
        Metadata(pairs.map(|(k, v)| (k.to_string(), v.to_string())).to_vec()).append(&mut model);
        std::fs::write(folder.path().join("d.onnx"), repghost_export::spec::encode(&model)).unwrap();
        let ran = folder.run(&["predict", "--weights", "d.onnx", "a.png", "--output", "out"]);
        refused(&ran, "'pictures'");
        assert!(ran.stderr.contains("d.onnx") && ran.stderr.contains("height and width"), "{}", ran.stderr);
    }
}

/// Every file below a folder, by path, with its bytes.
fn contents(root: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(contents(&path).into_iter().map(|(below, bytes)| (Path::new(&entry.file_name()).join(below), bytes)));
        } else {
            let mut bytes = Vec::new();
            std::fs::File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
            found.insert(entry.file_name().into(), bytes);
        }
    }
    found
}

/// Killed half-way, the folder is marked, trains nobody, and the same command makes it whole.
#[test]
fn crops_that_were_killed_go_on() {
    let folder = Folder::new(&[]);
    folder.run(&["data", "shapes", "--output", "set", "--train", "60", "--val", "0", "--size", "128"]);
    let crops = |output: &'static str| {
        ["data", "crops", "--annotations", "set/annotations/instances_train.json", "--images", "set/train", "--output", output]
    };
    assert_eq!(folder.run(&crops("whole")).code, 0);
    let whole = contents(&folder.path().join("whole/train"));
    assert!(whole.len() > 60);
    let out = folder.path().join("killed/train");
    kill_when(repghost().args(crops("killed")).current_dir(folder.path()), "crops", || contents(&out).len() >= 8);
    let part = contents(&out);
    assert!(part.len() < whole.len(), "it was quicker than its killer");
    assert!(part.contains_key(Path::new(".incomplete")), "{:?}", part.keys());
    let classifier = ["train", "small_classify", "data.train.images=killed/train", "data.val.images=whole/train"];
    refused(&folder.run(&[&classifier[..], &["--run-dir", "run"]].concat()), "is not complete");
    refused(&folder.run(&[&crops("killed")[..], &["--margin", "0.5"]].concat()), "something else");
    let again = folder.run(&crops("killed"));
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(contents(&out) == whole, "the folder is not what it would have been");
}
