//! `repghost-det export`, and `eval` and `predict` on what it wrote, as their users see them.

mod common;

use std::path::Path;

use common::detector::{folder, MASK_RCNN, RETINANET};
use common::{run, Folder, Ran};
use repghost_backbone::weights;
use repghost_export::metadata::{decode, Metadata};
use repghost_export::runtime::onnxruntime;
use repghost_export::spec::encode;

fn absent() -> bool {
    repghost_testing::need("onnxruntime", onnxruntime::find(), "make setup").is_none()
}

fn done(out: Ran) -> String {
    assert_eq!(out.code, 0, "{}{}", out.stdout, out.stderr);
    out.stdout
}

/// The changes that `eval --baseline` prints; numbers that neither measured (no object of a size) are 0.
fn changes(text: &str) -> Vec<f64> {
    let tail = text.split("change against").nth(1).expect("changes are printed");
    let lines = tail.lines().skip(1).take_while(|l| l.starts_with("bbox") || l.starts_with("segm"));
    lines
        .flat_map(|l| l.split_whitespace().skip(1).map(|v| if v == "-" { 0.0 } else { v.parse().unwrap() }).collect::<Vec<f64>>())
        .collect()
}

#[test]
fn exported_files_score_what_the_weights_score() {
    if absent() {
        return;
    }
    for (head, iou_types) in [(RETINANET, 1), (MASK_RCNN, 2)] {
        let (folder, threshold) = folder(head);
        for (part, extra) in [("raw", "--batch=dynamic"), ("detector", "--nms=plain"), ("detector", "--nms=onnx")] {
            let args = ["export", "a.yaml", &threshold, "--weights", "w.safetensors", "--part", part, extra];
            let text = done(folder.run(&[&args[..], &["--size", "96,96", "--output", "f.onnx"]].concat()));
            assert!(text.contains("largest difference") && text.contains("f.onnx"), "{text}");
            assert_eq!(folder.path().join("f.json").is_file(), part == "raw");
            let args = ["eval", "a.yaml", &threshold, "--weights", "f.onnx", "--baseline", "w.safetensors", "--summary"];
            let changes = changes(&done(folder.run(&args)));
            assert_eq!(changes.len(), 12 * iou_types);
            assert!(changes.iter().all(|c| c.abs() <= 0.01), "{head} {part} {extra}: {changes:?}");
            std::fs::remove_file(folder.path().join("f.json")).ok();
        }
    }
}

#[test]
fn predictions_of_a_file_and_of_weights_in_onnxruntime_are_those_of_libtorch() {
    if absent() {
        return;
    }
    let (folder, threshold) = folder(RETINANET);
    let predict = |weights: &str, runtime: &str, out: &str| -> serde_json::Value {
        let args = ["predict", "a.yaml", &threshold, "a.png", "--weights", weights, "--runtime", runtime, "--output", out];
        done(folder.run(&args));
        assert!(folder.path().join(out).join("a.png").is_file());
        serde_json::from_slice(&std::fs::read(folder.path().join(out).join("detections.json")).unwrap()).unwrap()
    };
    let expected = predict("w.safetensors", "libtorch", "libtorch");
    let found = predict("w.safetensors", "onnxruntime", "onnxruntime");
    let (expected, found) = (expected.as_array().unwrap(), found.as_array().unwrap());
    assert!(expected.len() > 5, "only {} detections", expected.len());
    let apart = |e: &serde_json::Value, f: &serde_json::Value| {
        let difference = |key: &dyn Fn(&serde_json::Value) -> Option<f64>| (key(e).unwrap() - key(f).unwrap()).abs();
        let corners = (0..4).map(|i| difference(&|d| d["bbox"][i].as_f64())).fold(0.0, f64::max);
        (corners / 0.05).max(difference(&|d| d["score"].as_f64()) / 1e-4)
    };
    let (_, worst) = repghost_testing::pair(expected, found, apart);
    assert!(worst < 1.0, "{worst} times the tolerance apart, {} and {} rows", expected.len(), found.len());
}

/// Weights that name no classes are measured under the validation data's names, in every runtime.
#[test]
fn weights_without_classes_are_measured_in_every_runtime() {
    if absent() {
        return;
    }
    let (folder, threshold) = folder(RETINANET);
    let file = folder.path().join("w.safetensors");
    let mut state = weights::read(&file).unwrap();
    state.metadata.clear();
    weights::write(&file, &state).unwrap();
    let eval = |runtime: &str| {
        let args =
            ["eval", "a.yaml", &threshold, "--weights", "w.safetensors", "--runtime", runtime, "--baseline", "w.safetensors"];
        done(folder.run(&args))
    };
    for runtime in ["libtorch", "onnxruntime"] {
        let text = eval(runtime);
        assert!(repghost_coco::shapes::CLASS_NAMES.iter().any(|name| text.contains(name)), "names of classes:\n{text}");
        assert!(changes(&text).iter().all(|c| c.abs() <= 0.01), "{text}");
    }
}

#[test]
fn int8_prints_what_it_costs() {
    if absent() {
        return;
    }
    let (folder, threshold) = folder(RETINANET);
    let args = ["export", "a.yaml", &threshold, "--weights", "w.safetensors", "--part", "raw", "--precision", "int8"];
    let text = done(folder.run(&[&args[..], &["--size", "96,96", "--calibration-images", "4", "--output", "f.onnx"]].concat()));
    for part in ["ranges from 4 validation images", "ms in int8", "bbox AP"] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let file = std::fs::metadata(folder.path().join("f.onnx")).unwrap().len();
    let weights = std::fs::metadata(folder.path().join("w.safetensors")).unwrap().len();
    assert!(file < weights / 2, "{file} bytes of {weights}");
    let recorded = metadata_of(&folder.path().join("f.onnx"));
    let value = |key: &str| recorded.iter().find(|(k, _)| k == key).unwrap_or_else(|| panic!("{key}")).1.clone();
    assert_eq!(value("int8_calibration_images"), "4");
    for (key, printed) in [("bbox_ap_float", " in float"), ("bbox_ap_int8", " in int8")] {
        let ap: f64 = value(key).parse().unwrap();
        assert!(text.contains(&format!("{ap:.4}{printed}")), "{key} {ap}:\n{text}");
    }
}

fn metadata_of(path: &Path) -> Vec<(String, String)> {
    Metadata::of(&decode(path, &std::fs::read(path).unwrap()).unwrap()).0
}

/// Exported files go to other people: nothing in them says where on a disk they were made.
#[test]
fn exported_files_hold_no_absolute_path() {
    if absent() {
        return;
    }
    let (folder, threshold) = folder(RETINANET);
    let here = folder.path().display().to_string();
    let val = format!("data.val.images={here}/val");
    let args = ["export", "a.yaml", &threshold, &val, "--weights", "w.safetensors", "--part", "raw", "--size", "96,96"];
    done(folder.run(&[&args[..], &["--output", &format!("{here}/f.onnx")]].concat()));
    for name in ["f.onnx", "f.json"] {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        assert!(!bytes.windows(here.len()).any(|w| w == here.as_bytes()), "{name} holds {here}");
    }
    let recorded = metadata_of(&folder.path().join("f.onnx"));
    let experiment = &recorded.iter().find(|(k, _)| k == "experiment").unwrap().1;
    assert!(experiment.contains("images: val"), "{experiment}");
}

/// A calibration on black images shows no range, and a broken annotation file is named instead of passed over.
#[test]
fn poor_calibration_is_a_warning_and_broken_validation_data_an_error() {
    if absent() {
        return;
    }
    let (folder, threshold) = folder(RETINANET);
    repghost_coco::RgbImage::new(96, 96).save(folder.path().join("black.png")).unwrap();
    let args =
        ["export", "a.yaml", &threshold, "--weights", "w.safetensors", "--part", "raw", "--precision", "int8", "--size", "96,96"];
    let out = folder.run(&[&args[..], &["black.png", "--output", "f.onnx"]].concat());
    assert_eq!(out.code, 0, "{}", out.stderr);
    assert!(out.stderr.contains("1 calibration images only") && out.stderr.contains("single colour"), "{}", out.stderr);
    folder.write("val.json", "{\"images\": [");
    let broken = ["data.source=coco", "data.val.images=.", "data.val.annotations=val.json", "data.classes=null"];
    let out = folder.run(&[&args[..], &broken, &["--output", "g.onnx"]].concat());
    assert_eq!((out.code, out.stdout.as_str()), (2, ""), "{}", out.stderr);
    assert!(out.stderr.contains("val.json") && !folder.path().join("g.onnx").exists(), "{}", out.stderr);
}

#[test]
fn files_whose_input_has_no_image_size_are_refused_by_name() {
    if absent() {
        return;
    }
    let (folder, _) = folder(RETINANET);
    let args = ["export", "a.yaml", "--weights", "w.safetensors", "--part", "detector", "--size", "96,96", "--output", "f.onnx"];
    done(folder.run(&args));
    let path = folder.path().join("f.onnx");
    let sound = decode(&path, &std::fs::read(&path).unwrap()).unwrap();
    for size in [Some(0), Some(-1), Some(1_000_000_000), Some(1 << 62), None] {
        let mut file = sound.clone();
        let input = &mut file.graph.as_mut().unwrap().input[0];
        let shape = input.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap().shape.as_mut().unwrap();
        shape.dim[2].dim_value = size;
        shape.dim[2].dim_param = size.is_none().then(|| "H".to_string());
        std::fs::write(folder.path().join("wrong.onnx"), encode(&file)).unwrap();
        for command in [&["eval", "a.yaml"][..], &["predict", "a.yaml", "a.png", "--output", "o"]] {
            let out = folder.run(&[command, &["--weights", "wrong.onnx"]].concat());
            assert_eq!((out.code, out.stdout.as_str()), (2, ""), "{size:?}: {}", out.stderr);
            let named = out.stderr.contains("wrong.onnx") && out.stderr.contains("'images'");
            assert!(named && out.stderr.lines().count() == 1, "{size:?}: {}", out.stderr);
        }
    }
}

/// A picture without a detection is a result like any other, and those beside it are predicted.
#[test]
fn pictures_without_a_detection_are_predicted() {
    if absent() {
        return;
    }
    let (folder, _) = folder(MASK_RCNN);
    for nms in ["plain", "onnx"] {
        let args = ["export", "a.yaml", "eval.score_threshold=0.9999", "--weights", "w.safetensors", "--part", "detector"];
        done(folder.run(&[&args[..], &["--nms", nms, "--size", "96,96", "--output", "f.onnx"]].concat()));
        let text = done(folder.run(&["predict", "a.yaml", "a.png", "--weights", "f.onnx", "--output", "o"]));
        assert!(text.starts_with("0 detections in 1 images"), "{nms}: {text}");
    }
}

#[test]
fn what_cannot_be_exported_or_run_is_one_line() {
    if absent() {
        return;
    }
    let (folder, _) = folder(RETINANET);
    let refused = |args: &[&str], part: &str| {
        let out = folder.run(args);
        assert_eq!((out.code, out.stdout.as_str()), (2, ""), "{args:?}: {}", out.stderr);
        assert!(out.stderr.contains(part) && out.stderr.lines().count() == 1, "{args:?}: {}", out.stderr);
    };
    let export = |part: &'static str, size: &'static str| {
        ["export", "a.yaml", "--weights", "w.safetensors", "--part", part, "--size", size, "--output", "f.onnx"]
    };
    refused(&export("raw", "100,96"), "multiples of 32");
    refused(&export("raw", "96"), "--size");
    refused(&export("classifier", "96,96"), "holds no classifier");
    refused(&[&export("detector", "96,96")[..], &["--format", "torchscript"]].concat(), "take part raw");
    assert!(!folder.path().join("f.onnx").exists());
    done(folder.run(&export("backbone", "96,96")));
    refused(&["eval", "a.yaml", "--weights", "f.onnx"], "finds no objects");
    refused(&["eval", "a.yaml", "--weights", "f.onnx", "--runtime", "libtorch"], "exported file");
    refused(
        &["predict", "a.yaml", "a.png", "--weights", "w.safetensors", "--runtime", "tensorrt", "--output", "o"],
        "ORT_DYLIB_PATH",
    );
    folder.write("other.onnx", "no file");
    refused(&["eval", "a.yaml", "--weights", "other.onnx"], "other.onnx");
}

#[test]
fn a_benchmark_writes_its_tables_and_commands() {
    if absent() {
        return;
    }
    let folder = Folder::new(&[]);
    let args = ["bench", "--model", "repghostnet:0.5", "--size", "64,64", "--runs", "2", "--rounds", "1", "--output", "out"];
    let runtimes = ["--runtime", "libtorch,torchscript,onnxruntime,tensorrt"];
    let mut command = common::repghost();
    let out: Ran = command.current_dir(folder.path()).args(args).args(runtimes).env("PATH", "").output().unwrap().into();
    let text = done(out);
    for part in ["| repghostnet 0.5 | fused | onnxruntime |", "| repghostnet 0.5 | unfused | torchscript |", "trtexec comes with"]
    {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let there = |name: &str| assert!(folder.path().join("out").join(name).is_file(), "{name}");
    ["bench.md", "bench.csv", "bench.json", "bench.png", "tensorrt/commands_from_11.sh"].into_iter().for_each(there);
    let commands = std::fs::read_to_string(folder.path().join("out/tensorrt/commands_up_to_10.sh")).unwrap();
    assert_eq!(commands.matches("--iterations=100 --duration=0").count(), 4, "{commands}");
    let refused = run(&["bench", "--model", "repghostnot"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("did you mean repghostnet?"), "{}", refused.stderr);
}

#[test]
fn joins_are_measured_alone_and_within() {
    if absent() {
        return;
    }
    let folder = Folder::new(&[]);
    let args = ["bench", "concat-add", "--runtime", "libtorch,onnxruntime", "--size", "64,64", "--runs", "2", "--rounds", "1"];
    let text = done(folder.run(&[&args[..], &["--output", "."]].concat()));
    assert!(text.contains("the 32 joins of ghostnet"), "{text}");
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.path().join("concat_add.json")).unwrap()).unwrap();
    for row in json["rows"].as_array().unwrap() {
        for key in ["concat_ms", "add_ms", "network_ms", "concat_within_ms", "add_within_ms"] {
            assert!(row[key].as_f64().is_some_and(|v| v > 0.0), "{key}: {row}");
        }
        let shares: f64 = row["shares"].as_array().unwrap().iter().map(|s| s[1].as_f64().unwrap()).sum();
        assert!((shares - 1.0).abs() < 1e-9);
    }
    assert!(Path::new(&folder.path().join("concat_add.png")).is_file());
}

/// AP, latency and size of weights in each runtime, precision and form, and of an exported file, in one table and picture.
#[test]
fn the_matrix_joins_accuracy_latency_and_size() {
    if absent() {
        return;
    }
    let (folder, threshold) = folder(RETINANET);
    // Weights as a run writes them describe their network.
    let file = folder.path().join("w.safetensors");
    let mut state = weights::read(&file).unwrap();
    let experiment = std::fs::read_to_string(folder.path().join("a.yaml")).unwrap();
    state.metadata.insert("experiment".into(), experiment);
    weights::write(&file, &state).unwrap();
    let export = [
        "export",
        "a.yaml",
        &threshold,
        "--weights",
        "w.safetensors",
        "--part",
        "detector",
        "--size",
        "96,96",
        "--output",
        "new/f.onnx",
    ];
    done(folder.run(&export));
    let args = ["bench", "w.safetensors", "new/f.onnx", &threshold, "--matrix", "--runtime", "libtorch,onnxruntime"];
    let text = done(folder.run(&[&args[..], &["--runs", "2", "--rounds", "1", "--output", "bench"]].concat()));
    assert!(text.contains("| detector | runtime | precision | form | network |"), "{text}");
    let rows: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("bench/detectors.json")).unwrap()).unwrap();
    let rows = rows.as_array().unwrap();
    let of = |name: &str, runtime: &str, precision: &str, form: &str| {
        let fits = |r: &&serde_json::Value| {
            r["name"] == name && r["runtime"] == runtime && r["precision"] == precision && r["form"] == form
        };
        let found: Vec<_> = rows.iter().filter(fits).collect();
        assert_eq!(found.len(), 1, "{name} {runtime} {precision} {form} in {rows:?}");
        found[0].clone()
    };
    let number = |row: &serde_json::Value, key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"));
    let reference = of("w", "libtorch", "fp32", "fused");
    for (runtime, precision, form) in [
        ("libtorch", "fp32", "unfused"),
        ("onnxruntime", "fp32", "unfused"),
        ("onnxruntime", "fp32", "fused"),
        ("onnxruntime", "fp16", "unfused"),
        ("onnxruntime", "fp16", "fused"),
    ] {
        let row = of("w", runtime, precision, form);
        assert!((number(&row, "AP") - number(&reference, "AP")).abs() < 0.02, "{row} {reference}");
        let (network, whole) = (&row["network"]["median_ms"], &row["end_to_end"]["median_ms"]);
        assert!(network.as_f64().unwrap() > 0.0 && whole.as_f64().unwrap() >= network.as_f64().unwrap() * 0.5, "{row}");
    }
    let bytes = |precision: &str| number(&of("w", "onnxruntime", precision, "fused"), "bytes");
    assert!((0.4..0.7).contains(&(bytes("fp16") / bytes("fp32"))), "{} {}", bytes("fp16"), bytes("fp32"));
    assert_eq!(rows.iter().filter(|r| r["name"] == "f").count(), 1, "an exported file is what it is");
    for ending in ["md", "csv", "json", "png"] {
        assert!(folder.path().join(format!("bench/detectors.{ending}")).is_file(), "{ending}");
    }
}
