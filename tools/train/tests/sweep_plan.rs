//! Sweep files to trials: nothing is run here.

use std::path::{Path, PathBuf};

use repghost_backbone::Tree;
use repghost_train::config::{Experiment, Origin, Task};
use repghost_train::detection::model;
use repghost_train::error::TrainError;
use repghost_train::sweep::{plan, Plan, Shard};

const BASE: &str = "train: {epochs: 2, seed: 9}\nmodel: {backbone: {width: 0.5}, head: {name: retinanet}}\n";

const SWEEP: &str = "
title: A sweep
setting: small
settings:
  small: {base: base.yaml, metric: bbox/AP}
  tiny: {base: base.yaml, metric: bbox/AP50, seeds: [3], set: {train.epochs: 1, data.workers: 0}}
axes:
  width:
    0.5x: {model.backbone.width: 0.5}
    1.0x: {model.backbone.width: 1.0}
  shortcut:
    with: {model.backbone.shortcut: true}
    without: {model.backbone: {shortcut: false}}
seeds: [0, 1]
published:
  - {row: '1.0x, with', value: 74.2, metric: top-1, source: somebody}
";

struct Fixture(tempfile::TempDir);

impl Fixture {
    fn new(sweep: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("base.yaml"), BASE).unwrap();
        std::fs::write(dir.path().join("sweep.yaml"), sweep).unwrap();
        Self(dir)
    }

    fn plan(&self, overrides: &[&str]) -> Result<Plan, String> {
        let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
        Plan::read(&self.path(), &overrides).map_err(|e| e.to_string().replace(&format!("{}/", self.0.path().display()), ""))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("sweep.yaml")
    }
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.trials.iter().map(|t| t.id.as_str()).collect()
}

#[test]
fn one_base_needs_no_settings_and_one_key_no_names() {
    let sweep = "base: base.yaml\nmetric: bbox/AP\naxes: {train.optimizer.lr: [0.005, 0.02], model.backbone.width: [0.5]}\n";
    let plan = Fixture::new(sweep).plan(&["set.train.epochs=1"]).unwrap();
    assert_eq!((plan.setting.as_str(), plan.metric.as_str()), ("", "bbox/AP"));
    assert_eq!(ids(&plan), ["0.005-0.5-seed0", "0.02-0.5-seed0"]);
    let rates: Vec<f64> = plan.trials.iter().map(|t| t.loaded.experiment.train.optimizer.lr).collect();
    assert_eq!(rates, [0.005, 0.02]);
    assert_eq!(plan.trials[0].loaded.experiment.train.epochs, 1);
    let named = "settings:\n  small: {base: base.yaml, metric: bbox/AP}\naxes: {train.batch_size: [2, 4]}\n";
    assert_eq!(Fixture::new(named).plan(&[]).unwrap().setting, "small", "a single setting is the chosen one");
    assert_eq!(plan::sweep_dir(Path::new("a/lr.yaml"), &plan, None), Path::new("runs/sweeps/lr"));
}

#[test]
fn sweeps_that_do_not_say_what_to_run_are_refused() {
    let axes = "axes: {train.batch_size: [2, 4]}\n";
    let refused = |head: &str| Fixture::new(&format!("{head}{axes}")).plan(&[]).unwrap_err();
    assert_eq!(refused(""), "base is missing: expected an experiment file (or settings to choose from)");
    assert_eq!(refused("base: base.yaml\n"), "metric is missing: expected what the table shows, as bbox.AP or top1");
    let two = "settings: {a: {base: base.yaml, metric: m}, b: {base: base.yaml, metric: m}}\n";
    assert_eq!(refused(two), "setting is missing: expected the name of one of the settings");
    let both = "base: base.yaml\nmetric: m\nsettings: {a: {base: base.yaml, metric: m}}\n";
    assert_eq!(refused(both), "settings is missing: expected either settings, or base and metric, not both");
    let twice = Fixture::new("base: base.yaml\nmetric: m\naxes: {train.batch_size: [2, 2]}\n").plan(&[]).unwrap_err();
    assert!(twice.contains("axis train.batch_size has the value 2 twice"), "{twice}");
}

#[test]
fn the_base_may_be_a_built_in_experiment() {
    let plan = Fixture::new("base: demo\nmetric: bbox.AP\naxes: {train.epochs: [1, 2]}\n").plan(&[]).unwrap();
    assert!(plan.trials[0].loaded.origin("train.epochs").to_string().ends_with("sweep.yaml"));
    assert_eq!(plan.trials[0].loaded.path, Path::new("built-in/demo.yaml"));
}

#[test]
fn every_combination_and_seed_is_a_trial() {
    let plan = Fixture::new(SWEEP).plan(&[]).unwrap();
    assert_eq!(plan.rows, ["0.5x, with", "0.5x, without", "1.0x, with", "1.0x, without"]);
    assert_eq!(
        ids(&plan),
        [
            "0.5x-with-seed0",
            "0.5x-with-seed1",
            "0.5x-without-seed0",
            "0.5x-without-seed1",
            "1.0x-with-seed0",
            "1.0x-with-seed1",
            "1.0x-without-seed0",
            "1.0x-without-seed1"
        ]
    );
    let last = &plan.trials[7];
    assert_eq!((last.loaded.experiment.model.backbone.width, last.loaded.experiment.model.backbone.shortcut), (1.0, false));
    assert_eq!((last.loaded.experiment.train.seed, last.loaded.experiment.train.epochs), (1, 2));
    assert_eq!(plan.metric, "bbox/AP");
}

#[test]
fn values_say_which_file_set_them() {
    let fixture = Fixture::new(SWEEP);
    let plan = fixture.plan(&[]).unwrap();
    let sweep = Origin::File(fixture.path().display().to_string().into());
    assert_eq!(plan.trials[0].loaded.origin("model.backbone.width"), sweep);
    assert_eq!(plan.trials[0].loaded.origin("train.seed"), sweep);
    assert!(matches!(plan.trials[0].loaded.origin("train.epochs"), Origin::File(f) if f.ends_with("base.yaml")));
}

#[test]
fn a_setting_is_one_override_away() {
    let plan = Fixture::new(SWEEP).plan(&["setting=tiny"]).unwrap();
    assert_eq!(ids(&plan), ["0.5x-with-seed3", "0.5x-without-seed3", "1.0x-with-seed3", "1.0x-without-seed3"]);
    let experiment = &plan.trials[0].loaded.experiment;
    assert_eq!((experiment.train.epochs, experiment.data.workers, plan.metric.as_str()), (1, 0, "bbox/AP50"));
}

#[test]
fn the_command_line_comes_last() {
    let plan = Fixture::new(SWEEP).plan(&["setting=tiny", "seeds=[5]", "set.train.epochs=7"]).unwrap();
    assert_eq!((plan.trials[0].seed, plan.trials[0].loaded.experiment.train.epochs), (3, 7), "the setting has seeds of its own");
    let plan = Fixture::new(SWEEP).plan(&["setting=tiny", "settings.tiny.seeds=null", "seeds=[5]"]).unwrap();
    assert_eq!(plan.trials[0].seed, 5);
}

#[test]
fn filters_leave_combinations_out_and_ids_stay() {
    let fixture = Fixture::new(SWEEP);
    let plan = fixture.plan(&["only=[{width: 1.0x}]", "exclude=[{shortcut: with}]"]).unwrap();
    assert_eq!(ids(&plan), ["1.0x-without-seed0", "1.0x-without-seed1"]);
    assert!(plan.published.is_empty(), "figures of rows that are left out are left out");
    let plan = fixture.plan(&["exclude=[{width: [0.5x], shortcut: [without]}]"]).unwrap();
    assert_eq!(plan.rows, ["0.5x, with", "1.0x, with", "1.0x, without"]);
    assert_eq!(plan.published.len(), 1);
}

#[test]
fn shards_part_the_trials() {
    let plan = Fixture::new(SWEEP).plan(&["seeds=[0, 1, 2]"]).unwrap();
    let mut all: Vec<&str> = Vec::new();
    for index in 1..=5 {
        let shard: Vec<&str> = plan.shard(Shard { index, count: 5 }).map(|t| t.id.as_str()).collect();
        assert!(shard.len() == 2 || shard.len() == 3, "12 trials over 5 machines: {shard:?}");
        all.extend(shard);
    }
    all.sort_unstable();
    let mut expected = ids(&plan);
    expected.sort_unstable();
    assert_eq!(all, expected);
}

#[test]
fn shards_are_parsed_strictly() {
    assert_eq!("2/4".parse(), Ok(Shard { index: 2, count: 4 }));
    for wrong in ["0/4", "5/4", "1", "a/b", "1/0", "-1/2", "1/2/3"] {
        assert!(wrong.parse::<Shard>().unwrap_err().contains("expected I/N"), "{wrong}");
    }
}

#[test]
fn mistakes_are_told_in_one_line() {
    for (from, to, text) in [
        ("setting: small", "setting: smal", "setting: found 'smal', expected one of small, tiny (sweep.yaml)"),
        ("seeds: [0, 1]", "seeds: []", "seeds: found [], expected at least one seed, each once (sweep.yaml)"),
        ("seeds: [0, 1]", "seeds: [1, 1]", "seeds: found [1, 1], expected at least one seed, each once (sweep.yaml)"),
        ("seeds: [0, 1]", "seed: [1]", "unknown key seed (sweep.yaml); did you mean seeds?"),
        ("title:", "only: [{widht: 0.5x}]\ntitle:", "only.widht: found an axis that is not there, expected one of width, shortcut (sweep.yaml)"),
        ("title:", "exclude: [{width: 3x}]\ntitle:", "exclude.width: found '3x', expected one of 0.5x, 1.0x (sweep.yaml)"),
        (
            "row: '1.0x, with'",
            "row: 1.0x",
            "published.row: found '1.0x', expected one of the rows: 0.5x, with; 0.5x, without; 1.0x, with; 1.0x, without (sweep.yaml)",
        ),
        (
            "model.backbone.shortcut: true",
            "model.backbone.shortcuts: true",
            "trial 0.5x-with-seed0: unknown key model.backbone.shortcuts (sweep.yaml); did you mean model.backbone.shortcut?",
        ),
        (
            "0.5x: {model.backbone.width: 0.5}",
            "0.5x: {model.backbone.width: 100}",
            "trial 0.5x-with-seed0: model.backbone.width: found 100, expected a number from 0.05 to 16 (sweep.yaml)",
        ),
        (
            "without: {model.backbone: {shortcut: false}}",
            "'with.': {model.backbone: {shortcut: false}}\n    with': {model.backbone: {se: false}}",
            "axes: found '0.5x, with' and '0.5x, with'', which would share the folder 0.5x-with-seed0, expected names that differ in \
             letters or digits (sweep.yaml)",
        ),
    ] {
        assert!(SWEEP.contains(from), "{from}");
        assert_eq!(Fixture::new(&SWEEP.replace(from, to)).plan(&[]).unwrap_err(), text);
    }
    let fixture = Fixture::new(SWEEP);
    assert_eq!(
        fixture.plan(&["set.model.backbone.width=1.0"]).unwrap_err(),
        "axes: found rows '0.5x, with' and '1.0x, with', which are the same experiment, expected values that differ (an override may \
         have undone them) (sweep.yaml)"
    );
    assert_eq!(
        fixture.plan(&["only=[{width: 0.5x}]", "exclude=[{width: 0.5x}]"]).unwrap_err(),
        "axes: found no trial, expected at least one that `only` and `exclude` leave (sweep.yaml)"
    );
}

#[test]
fn a_value_can_drop_what_the_base_sets() {
    let axes = "backbone:\n    a: {model.backbone: {se: false}}\n    b: {model.backbone: {_delete_: true, name: ghostnet}}";
    let sweep = format!("setting: s\nsettings: {{s: {{base: base.yaml, metric: bbox/AP}}}}\naxes:\n  {axes}\n");
    let plan = Fixture::new(&sweep).plan(&[]).unwrap();
    let width = |i: usize| plan.trials[i].loaded.experiment.model.backbone.width;
    assert_eq!((width(0), width(1)), (0.5, 1.0), "the base says 0.5, the default is 1.0");
}

#[test]
fn without_axes_there_is_one_row() {
    let plan = Fixture::new("setting: s\nsettings: {s: {base: base.yaml, metric: bbox/AP}}\naxes: {}\nseeds: [4, 5]\n")
        .plan(&[])
        .unwrap();
    assert_eq!((plan.rows.as_slice(), ids(&plan)), (["base".to_string()].as_slice(), vec!["seed4", "seed5"]));
}

/// Builds what a trial trains and counts its tensors.
fn built(e: &Experiment) -> Result<usize, TrainError> {
    Ok(match e.task {
        Task::Detection => model::build(e, 5)?.named_tensors().len(),
        Task::Classification => e.model.backbone.build_classifier(1000)?.named_tensors().len(),
    })
}

/// Every sweep that is shipped resolves in every setting, every row of it builds, and the trials are what the issue of ablations asks for.
#[test]
fn all_shipped_sweeps_resolve_in_every_setting() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("experiments/ablations");
    let expected = [
        ("reparam", "imagenet", 4),
        ("shortcut", "imagenet", 8),
        ("widths", "imagenet", 8),
        ("module_evolution", "imagenet", 4),
        ("res50", "imagenet", 4),
        ("backbones_retinanet", "coco", 5),
        ("backbones_mask_rcnn", "coco", 5),
    ];
    for (name, setting, rows) in expected {
        for setting in [setting, "demo"] {
            let plan = Plan::read(&folder.join(format!("{name}.yaml")), &[format!("setting={setting}")])
                .unwrap_or_else(|e| panic!("{name}, {setting}: {e}"));
            assert_eq!(plan.rows.len(), rows, "{name}, {setting}");
            assert!(!plan.title.is_empty() && plan.trials.len().is_multiple_of(rows), "{name}");
            for row in &plan.rows {
                let trial = plan.trials.iter().find(|t| t.row == *row).unwrap();
                let tensors = built(&trial.loaded.experiment).unwrap_or_else(|e| panic!("{name}, {setting}, {row}: {e}"));
                assert!(tensors > 100, "{name}, {setting}, {row}: {tensors} tensors");
            }
        }
    }
    let shipped = std::fs::read_dir(&folder).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some()).count();
    assert_eq!(shipped, expected.len(), "a sweep is shipped that this test does not know");
}
