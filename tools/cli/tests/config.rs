//! `repghost-det config` as its users see it: merging, overrides, origins, differences, and what it says about mistakes.

mod common;

use common::{root, Folder, Ran};

/// Two bases that overlap, and a file on top.
fn folder() -> Folder {
    Folder::new(&[
        ("base/model.yaml", "model: {backbone: {width: 1.3}, head: {name: retinanet}}\ntrain: {epochs: 3, seed: 1}\n"),
        ("base/train.yaml", "train:\n  epochs: 5\n  schedule: {milestones: [1, 2]}\n  optimizer: {lr: 0.02}\n"),
        ("top.yaml", "_base_: [base/model.yaml, base/train.yaml]\ntrain: {batch_size: 4, optimizer: {momentum: 0.8}}\n"),
    ])
}

/// Value and origin at a key of the printed tree: a dotted key, or its end.
fn line(ran: &Ran, key: &str) -> (String, String) {
    let mut path: Vec<&str> = Vec::new();
    for line in ran.stdout.lines() {
        let Some((name, value)) = line.trim_start().split_once(':') else { continue };
        path.truncate((line.len() - line.trim_start().len()) / 2);
        path.push(name);
        if format!(".{}", path.join(".")).ends_with(&format!(".{key}")) {
            let (value, origin) = value.split_once(" # ").expect("an origin comment");
            return (value.trim().to_string(), origin.to_string());
        }
    }
    panic!("no {key} in\n{}\n{}", ran.stdout, ran.stderr)
}

/// The error of a run that must fail with code 2.
fn refused(folder: &Folder, args: &[&str]) -> String {
    let ran = folder.run(args);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}: {}", ran.stderr);
    let text = ran.stderr.strip_prefix("error: ").unwrap_or_else(|| panic!("{args:?}: {}", ran.stderr));
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    text.trim_end().to_string()
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.into(), b.into())
}

#[test]
fn bases_merge_deeply_and_each_value_tells_who_set_it() {
    let ran = folder().run(&["config", "top.yaml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(line(&ran, "width"), pair("1.3", "base/model.yaml"));
    assert_eq!(line(&ran, "epochs"), pair("5", "base/train.yaml"), "of two bases the later wins");
    assert_eq!(line(&ran, "train.seed"), pair("1", "base/model.yaml"));
    assert_eq!(line(&ran, "lr"), pair("0.02", "base/train.yaml"));
    assert_eq!(line(&ran, "momentum"), pair("0.8", "top.yaml"));
    assert_eq!(line(&ran, "milestones"), pair("[1.0, 2.0]", "base/train.yaml"));
    assert_eq!(line(&ran, "accumulate"), pair("1", "default"));
}

#[test]
fn overrides_come_last_index_lists_and_are_yaml() {
    let ran = folder().run(&[
        "config",
        "top.yaml",
        "train.schedule.milestones.1=7",
        "train.optimizer.lr=1e-3",
        "train.ema={decay: 0.99}",
        "data.train.images=a=b",
        "data.classes=[cat, dog]",
    ]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(line(&ran, "milestones"), pair("[1.0, 7.0]", "base/train.yaml, command line"));
    assert_eq!(line(&ran, "lr"), pair("0.001", "command line"));
    assert_eq!(line(&ran, "decay"), pair("0.99", "command line"));
    assert_eq!(line(&ran, "images"), pair("a=b", "command line"));
    assert_eq!(line(&ran, "classes"), pair("[cat, dog]", "command line"));
}

#[test]
fn delete_drops_what_is_inherited() {
    let folder = folder();
    folder.write("d.yaml", "_base_: top.yaml\ntrain: {optimizer: {_delete_: true, name: adamw}}\n");
    let ran = folder.run(&["config", "d.yaml"]);
    assert_eq!(line(&ran, "momentum"), pair("0.9", "default"));
    assert_eq!(line(&ran, "lr"), pair("0.01", "default"));
    assert_eq!(line(&ran, "batch_size"), pair("4", "top.yaml"));
}

#[test]
fn bases_are_found_beside_the_file_that_names_them() {
    let folder = folder();
    folder.write("deep/er/x.yaml", "_base_: ../../top.yaml\n");
    let ran = folder.run(&["config", "deep/er/x.yaml"]);
    assert_eq!(line(&ran, "momentum"), pair("0.8", "top.yaml"));
    folder.write("y.yaml", "_base_: nowhere.yaml\n");
    let error = refused(&folder, &["config", "y.yaml"]);
    assert_eq!(error, "cannot read the experiment file nowhere.yaml (_base_ of y.yaml): No such file or directory (os error 2)");
}

#[test]
fn circles_are_found() {
    let folder =
        Folder::new(&[("a.yaml", "_base_: b.yaml\n"), ("b.yaml", "_base_: [c.yaml]\n"), ("c.yaml", "_base_: ./a.yaml\n")]);
    let error = refused(&folder, &["config", "a.yaml"]);
    assert_eq!(error, "_base_ goes round in a circle: a.yaml -> b.yaml -> c.yaml -> a.yaml");
    folder.write("self.yaml", "_base_: self.yaml\n");
    assert_eq!(refused(&folder, &["config", "self.yaml"]), "_base_ goes round in a circle: self.yaml -> self.yaml");
}

#[test]
fn a_base_that_is_shared_is_no_circle() {
    let folder = Folder::new(&[
        ("root.yaml", "train: {epochs: 2}\n"),
        ("l.yaml", "_base_: root.yaml\ntrain: {seed: 1}\n"),
        ("r.yaml", "_base_: root.yaml\ntrain: {batch_size: 3}\n"),
        ("x.yaml", "_base_: [l.yaml, r.yaml]\n"),
    ]);
    let ran = folder.run(&["config", "x.yaml"]);
    assert_eq!(line(&ran, "train.seed"), pair("1", "l.yaml"));
    assert_eq!(line(&ran, "epochs"), pair("2", "root.yaml"));
}

#[test]
fn mistakes_name_key_origin_and_remedy() {
    let folder = folder();
    for (argument, text) in [
        ("train.epoch=3", "unknown key train.epoch (command line); did you mean train.epochs?"),
        ("model.backbone.widht=1", "unknown key model.backbone.widht (command line); did you mean model.backbone.width?"),
        ("momentum=0.5", "unknown key momentum (command line); did you mean train.optimizer.momentum?"),
        ("train.epochs=abc", "train.epochs: found the text 'abc', expected a whole number, 0 or more (command line)"),
        ("train.epochs=1.5", "train.epochs: found 1.5, expected a whole number, 0 or more (command line)"),
        ("train.epochs=-1", "train.epochs: found -1, expected a whole number, 0 or more (command line)"),
        ("train.epochs=0", "train.epochs: found 0, expected a whole number, 1 or more (command line)"),
        ("train.optimizer.nesterov=3", "train.optimizer.nesterov: found 3, expected true or false (command line)"),
        ("data.train=5", "data.train: found 5, expected a map (command line)"),
        ("train.optimizer.betas=[1]", "train.optimizer.betas: found a list of 1, expected a list of 2 (command line)"),
        ("train.optimizer.name=sdg", "train.optimizer.name: found 'sdg', expected one of sgd, adamw; did you mean sgd? (command line)"),
        ("model.backbone.branches.0=x", "model.backbone.branches.0: found 'x', expected one of bn, identity, dw1x1 (command line)"),
        ("model.head={_delete_: true}", "model.head.name is missing: expected one of retinanet, fcos, faster_rcnn, mask_rcnn, classifier"),
        ("train.schedule.milestones.2=9", "override 'train.schedule.milestones.2=9': train.schedule.milestones is a list of 2; expected an index from 0 to 1, found 2"),
        ("train.schedule.milestones=[3, 1]", "train.schedule.milestones: found [3.0, 1.0], expected epochs in rising order (command line)"),
        (
            "train.batch_norm.frozen_stages=1",
            "train.batch_norm.frozen_stages: found 1 without weights, expected init.backbone or init.detector to be set: frozen layers keep \
             what they start with, and that would be noise (command line)",
        ),
        ("model.head.fg_iou=7", "model.head.fg_iou: found 7, expected a number from 0 to 1 (command line)"),
        ("data.augment.hflip=2", "data.augment.hflip: found 2, expected a number from 0 to 1 (command line)"),
        ("data.augment.zoom_out={p: 2}", "data.augment.zoom_out.p: found 2, expected a number from 0 to 1 (command line)"),
        ("data.shapes.picture.size=[8, 64]", "data.shapes.picture.size.0: found 8, expected a whole number from 64 to 4096 (command line)"),
        ("model.fpn.channels=0", "model.fpn.channels: found 0, expected a whole number, 1 or more (command line)"),
        ("model.head.anchors.aspect_ratios=[]", "model.head.anchors.aspect_ratios: found a list of 0, expected a list of 1 or more (command line)"),
        ("model.head.bg_iou=0.6", "model.head.bg_iou: found 0.6, expected at most model.head.fg_iou (0.5) (command line)"),
        ("data.classes=[1]", "data.classes.0: found 1, expected a text; write \"1\", with quotes (command line)"),
        ("run.name=x", "unknown key run.name (command line); expected one of: dir, device"),
        (
            "task=classification",
            "model.head.name: found retinanet, expected classifier, as task is classification (or task: detection) (base/model.yaml)",
        ),
    ] {
        let argument: &str = argument;
        // `branches.0` needs a list that some file sets.
        folder.write("m.yaml", "_base_: top.yaml\nmodel: {backbone: {branches: [bn]}}\n");
        assert_eq!(refused(&folder, &["config", "m.yaml", argument]), text);
    }
}

/// What `config` refuses, `train` refuses in the same words, before it writes anything; all mistakes at once.
#[test]
fn train_refuses_what_config_refuses() {
    let folder = folder();
    let mistakes = ["model.head.fg_iou=7", "data.augment.hflip=2", "model.backbone.width=99", "train.optimizer.momentum=1"];
    let mut seen = Vec::new();
    for command in ["config", "train"] {
        let mut args = vec![command, "top.yaml"];
        args.extend(mistakes);
        let ran = folder.run(&args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        for mistake in mistakes {
            let key = mistake.split('=').next().unwrap();
            let lines = ran.stderr.lines().filter(|l| l.contains(&format!(" {key}: found ")) && l.ends_with("(command line)"));
            assert_eq!(lines.count(), 1, "{key}: {}", ran.stderr);
        }
        seen.push(ran.stderr);
    }
    assert_eq!(seen[0], seen[1]);
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn keys_are_explained() {
    let folder = Folder::new(&[]);
    let ran = folder.run(&["config", "--explain", "train.schedule.min_lr"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.starts_with("train.schedule.min_lr\n    number; default 0.0; 0 or more\n"), "{}", ran.stdout);
    let all = folder.run(&["config", "--explain"]).stdout;
    for key in ["model.head.rpn.nms_thresh (name: mask_rcnn)", "train.ema.decay", "data.classify.rand_augment.p", "run.dir"] {
        assert!(all.contains(key), "{key}");
    }
    assert_eq!(
        refused(&folder, &["config", "--explain", "train.optimizer.rate"]),
        "unknown key train.optimizer.rate (command line); did you mean train.optimizer.name?"
    );
    let schema: serde_json::Value = serde_json::from_str(&folder.run(&["config", "--schema"]).stdout).unwrap();
    assert_eq!(schema["properties"]["train"]["$ref"], "#/$defs/TrainConfig");
}

/// `docs/keys.md` is what the program prints: `repghost-det config --explain --markdown > docs/keys.md`.
#[test]
fn the_page_of_keys_is_up_to_date() {
    let page = std::fs::read_to_string(root().join("docs/keys.md")).unwrap();
    let printed = common::run(&["config", "--explain", "--markdown"]).stdout;
    assert!(page == printed, "docs/keys.md is old; `repghost-det config --explain --markdown > docs/keys.md` makes it anew");
}

#[test]
fn defaults_take_overrides_and_show_what_is_hidden() {
    let folder = Folder::new(&[]);
    let printed =
        folder.run(&["config", "--defaults", "train.epochs=3", "model.head.name=mask_rcnn", "data.augment.zoom_out={}"]);
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    for text in [
        "  epochs: 3\n",
        "    name: mask_rcnn\n",
        "      nms_thresh: 0.7\n",
        "      max_ratio: 4.0\n",
        "# retinanet: model.head.fg_iou=0.5\n",
    ] {
        assert!(printed.stdout.contains(text), "{text:?} not in\n{}", printed.stdout);
    }
    let hidden = printed.stdout.lines().find(|l| l.trim_start().starts_with("ema: null")).expect("ema");
    assert!(hidden.ends_with("# {} for {decay: 0.9999, warmup: true}"), "{hidden}");
    folder.write("all.yaml", &printed.stdout);
    let overrides = ["train.epochs=3", "model.head.name=mask_rcnn", "data.augment.zoom_out={}"];
    let again = folder.run(&[&["config", "--defaults"], overrides.as_slice()].concat());
    assert_eq!(again.stdout, printed.stdout);
    assert_eq!(folder.run(&["config", "all.yaml"]).code, 0, "what is printed is an experiment file");
    assert_eq!(refused(&folder, &["config", "--defaults", "all.yaml"]), "--defaults takes KEY=VALUE only, found all.yaml");
}

#[test]
fn built_in_experiments_are_there_in_every_folder() {
    let folder = Folder::new(&[("mine.yaml", "_base_: small\ntrain: {epochs: 2}\n"), ("conf/mine.yaml", "_base_: demo.yaml\n")]);
    let list = folder.run(&["config", "--list"]);
    assert_eq!((list.code, list.stderr.as_str()), (0, ""));
    let names: Vec<&str> = list.stdout.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert!(["demo", "small", "retinanet", "ablations/widths"].iter().all(|n| names.contains(n)), "{names:?}");
    for name in &names {
        // Sweeps are no experiments.
        if !name.starts_with("ablations/") && !name.starts_with("bench/") {
            let ran = folder.run(&["config", name]);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{name}");
        }
    }
    let demo = folder.run(&["config", "experiments/demo.yaml"]);
    assert_eq!(line(&demo, "train.epochs"), pair("4", "built-in/demo.yaml"));
    assert_eq!(demo.stdout, folder.run(&["config", "demo"]).stdout);
    assert_eq!(line(&folder.run(&["config", "mine.yaml"]), "train.epochs"), pair("2", "mine.yaml"));
    assert_eq!(line(&folder.run(&["config", "conf/mine.yaml"]), "train.epochs"), pair("4", "built-in/demo.yaml"));
    let sweep = folder.run(&["sweep", "ablations/widths", "setting=demo", "only=[{width: 0.5x}]", "--dry-run"]);
    assert!(sweep.code == 0 && sweep.stdout.contains("0.5x-seed0"), "{}{}", sweep.stdout, sweep.stderr);
    let error = refused(&folder, &["config", "demos"]);
    assert_eq!(
        error,
        "cannot read the experiment file demos: No such file or directory (os error 2); there is a built-in experiment demo"
    );
}

/// A file of one's own comes before the built-in one of the same path.
#[test]
fn files_on_disk_come_first() {
    let folder = Folder::new(&[("experiments/demo.yaml", "train: {epochs: 77}\n")]);
    assert_eq!(line(&folder.run(&["config", "experiments/demo.yaml"]), "train.epochs"), pair("77", "experiments/demo.yaml"));
    assert_eq!(line(&folder.run(&["config", "demo"]), "train.epochs"), pair("4", "built-in/demo.yaml"));
}

#[test]
fn flags_that_are_keys_are_recognised() {
    let ran = folder().run(&["config", "top.yaml", "--epochs", "3"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("keys of the experiment are written without dashes: train.epochs="), "{}", ran.stderr);
}

/// Files that would take minutes or the whole memory if each base were read anew, or each key searched for among all.
#[test]
fn large_and_deep_files_end() {
    let folder = Folder::new(&[("b0.yaml", "train: {epochs: 2}\n")]);
    for i in 1..=26 {
        let base = format!("b{}.yaml", i - 1);
        folder.write(&format!("b{i}.yaml"), &format!("_base_: [{base}, {base}]\ntrain: {{seed: {i}}}\n"));
    }
    assert_eq!(line(&folder.run(&["config", "b26.yaml"]), "train.seed"), pair("26", "b26.yaml"));
    let keys: String = (0..200_000).map(|i| format!("k{i}: {i}\n")).collect();
    folder.write("keys.yaml", &keys);
    assert!(refused(&folder, &["config", "keys.yaml"]).starts_with("unknown key k0 (keys.yaml)"));
    let classes: Vec<String> = (0..100_000).map(|i| format!("c{i}")).collect();
    folder.write("classes.yaml", &format!("data: {{classes: [{}]}}\n", classes.join(", ")));
    assert_eq!(folder.run(&["config", "classes.yaml", "--set-only"]).code, 0);
    folder.write("twice.yaml", &format!("data: {{classes: [{}, c5]}}\n", classes.join(", ")));
    assert_eq!(
        refused(&folder, &["config", "twice.yaml"]),
        "data.classes: found 'c5' twice, expected each name once (twice.yaml)"
    );
    folder.write("deep.yaml", &format!("a: {}", "[".repeat(100_000)));
    assert_eq!(refused(&folder, &["config", "deep.yaml"]), "deep.yaml: more than 1000 brackets are open at once");
    folder.write("long.yaml", &format!("a: {}", "x".repeat(9 << 20)));
    assert!(refused(&folder, &["config", "long.yaml"]).contains("longer than 8 MiB"));
    let error = refused(&folder, &["config", "b0.yaml", &format!("train.epochs=\u{1b}{}", "9".repeat(80_000))]);
    assert!(error.len() < 300 && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn files_are_blamed_too() {
    let folder = folder();
    for (yaml, text) in [
        ("train: {epochs: x}", "train.epochs: found the text 'x', expected a whole number, 0 or more (e.yaml)"),
        ("trian: {epochs: 1}", "unknown key trian (e.yaml); did you mean train?"),
        ("[1, 2]", "e.yaml: expected keys and values, found [1, 2]"),
        ("_base_: 3", "e.yaml: _base_: found 3, expected a file or a list of files"),
        ("train: {seed: 1, seed: 2}", "e.yaml: train: duplicate entry with key \"seed\" at line 1 column 8"),
    ] {
        folder.write("e.yaml", yaml);
        assert_eq!(refused(&folder, &["config", "e.yaml"]), text);
    }
    folder.write("e.yaml", "train: [1\nx: 2");
    let error = refused(&folder, &["config", "e.yaml"]);
    assert!(error.starts_with("e.yaml: ") && error.contains(" line "), "{error}");
}

#[test]
fn a_new_head_name_explains_the_keys_it_inherits() {
    let folder = Folder::new(&[
        ("base.yaml", "task: classification\nmodel: {head: {name: classifier, label_smoothing: 0.2}}\n"),
        ("x.yaml", "_base_: base.yaml\ntask: detection\nmodel: {head: {name: retinanet}}\n"),
        ("ok.yaml", "_base_: base.yaml\ntask: detection\nmodel: {head: {_delete_: true, name: retinanet}}\n"),
    ]);
    assert_eq!(
        refused(&folder, &["config", "x.yaml"]),
        "unknown key model.head.label_smoothing (base.yaml); model.head.name is retinanet (x.yaml), which has no such key: write \
         `_delete_: true` beside that name to drop what was inherited"
    );
    assert_eq!(folder.run(&["config", "ok.yaml"]).code, 0);
}

#[test]
fn several_problems_are_told_at_once() {
    let ran = folder().run(&["config", "top.yaml", "train.epochs=0", "eval.score_threshold=2"]);
    assert_eq!(ran.code, 2);
    assert_eq!(
        ran.stderr,
        "error: train.epochs: found 0, expected a whole number, 1 or more (command line)\n  \
         also: eval.score_threshold: found 2, expected a number from 0 to 1 (command line)\n"
    );
}

#[test]
fn the_difference_of_two() {
    let folder = folder();
    folder.write("other.yaml", "_base_: top.yaml\ntrain: {epochs: 6, ema: {decay: 0.9}}\n");
    let ran = folder.run(&["config", "top.yaml", "train.seed=4", "other.yaml", "train.epochs=7"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let squeezed: Vec<String> = ran.stdout.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        squeezed,
        [
            "- top.yaml",
            "+ other.yaml",
            "",
            "train.epochs",
            "- 5 # base/train.yaml",
            "+ 7 # command line",
            "train.seed",
            "- 4 # command line",
            "+ 1 # base/model.yaml",
            "train.ema",
            "- null # default",
            "+ {decay: 0.9, warmup: true} # other.yaml",
        ]
    );
    assert_eq!(folder.run(&["config", "top.yaml", "top.yaml"]).stdout, "no difference\n");
}

#[test]
fn what_is_printed_reads_back_to_the_same() {
    let folder = folder();
    folder.write(
        "odd.yaml",
        "_base_: top.yaml\ndata: {classes: ['a, b', 'no', '1', 'x: y', '#', ''], train: {images: '${COCO}/x y'}}\n",
    );
    let printed = folder.run(&["config", "odd.yaml", "run.dir=runs/a"]).stdout;
    folder.write("resolved.yaml", &printed);
    assert_eq!(folder.run(&["config", "odd.yaml", "run.dir=runs/a", "resolved.yaml"]).stdout, "no difference\n");
    folder.write("plain.yaml", &folder.run(&["config", "odd.yaml", "--plain"]).stdout);
    assert_eq!(folder.run(&["config", "odd.yaml", "plain.yaml"]).stdout, "no difference\n");
    folder.write("set.yaml", &folder.run(&["config", "odd.yaml", "--set-only"]).stdout);
    assert_eq!(folder.run(&["config", "odd.yaml", "set.yaml"]).stdout, "no difference\n");
}

#[test]
fn usage_mistakes() {
    let folder = folder();
    assert_eq!(
        refused(&folder, &["config", "train.epochs=3", "top.yaml"]),
        "'train.epochs=3' stands before any experiment file; expected FILE train.epochs=3"
    );
    assert_eq!(
        refused(&folder, &["config", "top.yaml", "top.yaml", "top.yaml"]),
        "config takes one file, or two to compare; found 3"
    );
    assert_eq!(
        refused(&folder, &["config", "no.yaml"]),
        "cannot read the experiment file no.yaml: No such file or directory (os error 2)"
    );
}

#[test]
fn all_shipped_experiments_resolve() {
    let folder = root().join("experiments");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).expect("experiments/") {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let ran = common::run(&["config", path.to_str().unwrap()]);
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 6, "only {seen} experiments");
}

/// Levels, anchor sizes and channels have to fit backbone, pyramid and head: refused under the user's key, before anything is built.
#[test]
fn parts_that_do_not_fit_each_other_are_refused_under_their_keys() {
    let folder = folder();
    for (overrides, message) in [
        (
            &["model.head.levels=[3, 6]"][..],
            "model.head.levels: found [3, 6], expected levels that repghostnet has ([2, 3, 4, 5])",
        ),
        (
            &["model.head.anchors.sizes=[[32], [64]]"],
            "model.head.anchors.sizes: found 2 lists, expected 5, one per pyramid level (P3, P4, P5, P6, P7)",
        ),
        (
            &["model.head={name: faster_rcnn, rpn: {anchor_sizes: [[32], [64]]}}"],
            "model.head.rpn.anchor_sizes: found 2 lists, expected 5",
        ),
        (
            &["model.head={name: fcos, norm_groups: 3}"],
            "model.head.norm_groups: found 3, expected a divisor of fpn.channels (256)",
        ),
        (
            &["model.backbone={name: mobilenet_v3_large, taps: torchvision}", "model.head={name: faster_rcnn}"],
            "model.head.levels: found [2, 3, 4, 5], expected levels that mobilenet_v3_large has ([5, 5])",
        ),
        (
            &["model.backbone.taps=torchvision"],
            "model.backbone.taps: found torchvision, expected stage_end or timm for repghostnet",
        ),
    ] {
        let text = refused(&folder, &[&["config", "top.yaml"], overrides].concat());
        assert!(text.contains(message) && text.contains("command line"), "{overrides:?}: {text}");
    }
}

#[test]
fn the_papers_recipe_is_what_its_file_says() {
    let path = root().join("experiments/retinanet.yaml");
    let ran = common::run(&["config", path.to_str().unwrap()]);
    for (key, value) in [
        ("width", "1.3"),
        ("epochs", "12"),
        ("lr", "0.01"),
        ("weight_decay", "0.0001"),
        ("warmup_steps", "500"),
        ("warmup_factor", "0.001"),
        ("milestones", "[8.0, 11.0]"),
        ("gamma", "0.1"),
        ("frozen_stages", "1"),
        ("use_running_stats", "true"),
        ("freeze_affine", "false"),
        ("max_size", "1333"),
        ("min_sizes", "[800]"),
        ("hflip", "0.5"),
        ("extra_levels", "p6p7_from_c5"),
        ("relu_before_p7", "false"),
    ] {
        assert_eq!(line(&ran, key).0, value, "{key}");
    }
}
