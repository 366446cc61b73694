//! Loading by name: strictness, forms, kinds, prefixes. Nothing is renamed, broadcast or cast in silence.

use repghost_backbone::testing::largest_difference;
use repghost_backbone::weights::{
    self, detect_form, guess, load, load_any_form, Form, Mismatch, StateDict, Strictness, WeightsError,
};
use repghost_backbone::{synthetic, Backbone, BackboneConfig, Eager, FuseLevel, Tree};
use tch::{Kind, Tensor};

const CLASSES: i64 = 6;
/// Batch norms of the training form, each with a counter.
const NORMS: usize = 112;

fn config() -> BackboneConfig {
    BackboneConfig { width: 0.5, ..Default::default() }
}

fn filled() -> Backbone {
    // Tests run side by side; torch's threads would only wait for each other.
    tch::set_num_threads(1);
    let net = config().build_classifier(CLASSES).unwrap();
    synthetic::fill_with_gain(&net, "", synthetic::DEEP_GAIN);
    net
}

fn logits(net: &Backbone) -> Tensor {
    tch::no_grad(|| net.classify(&mut Eager::eval(), &synthetic::input("image", &[1, 3, 64, 64])))
}

/// A state dict as a Python script would write it: names and shapes of the model, synthetic values.
#[test]
fn a_written_file_loads_one_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let net = filled();
    weights::write(&path, &StateDict::of(&net, "")).unwrap();
    let other = config().build_classifier(CLASSES).unwrap();
    assert!(largest_difference(&logits(&net), &logits(&other)) > 1e-3);
    let report = load(&other, "", &weights::read(&path).unwrap(), Strictness::Exact).unwrap();
    assert_eq!(report.loaded.len(), 672);
    assert_eq!(report.to_string(), "loaded 672 tensors");
    assert!(logits(&net).equal(&logits(&other)));
    assert!(other.named_tensors().iter().filter(|e| e.name.ends_with("weight")).all(|e| e.tensor.requires_grad()));
}

#[test]
fn all_three_forms_are_told_apart_and_followed() {
    let expected = logits(&filled());
    for (level, form, keys) in
        [(None, Form::Train, 672), (Some(FuseLevel::Branches), Form::Deploy, 384), (Some(FuseLevel::All), Form::Folded, 192)]
    {
        let mut source = filled();
        if let Some(level) = level {
            source.fuse(level);
        }
        let state = StateDict::of(&source, "");
        assert_eq!((detect_form(&state), state.len()), (form, keys));
        let mut net = config().build_classifier(CLASSES).unwrap();
        let report = load_any_form(&mut net, "", &state, Strictness::Exact).unwrap();
        assert_eq!(report.loaded.len(), keys);
        assert!(largest_difference(&logits(&net), &expected) < 1e-5, "{form}");

        // A folded model cannot be unfolded.
        net.fuse(FuseLevel::All);
        let train = StateDict::of(&filled(), "");
        let error = load_any_form(&mut net, "", &train, Strictness::Exact).unwrap_err();
        assert!(matches!(error, WeightsError::FormMismatch { file: Form::Train, model: Form::Folded }), "{error}");
    }
}

/// Variants without anything to re-parameterise keep their names when folded; the form is still told.
#[test]
fn every_variant_is_followed_to_its_folded_form() {
    use repghost_backbone::ReuseKind::{AddAfterRelu, Concat};
    let variants = [
        BackboneConfig { reuse: Concat, ..config() },
        BackboneConfig { reuse: AddAfterRelu, ..config() },
        BackboneConfig { branches: vec![], ..config() },
        BackboneConfig { se: false, shortcut: false, ..config() },
    ];
    for variant in variants {
        let mut source = variant.build_classifier(CLASSES).unwrap();
        synthetic::fill_with_gain(&source, "", 0.7);
        source.fuse(FuseLevel::All);
        let state = StateDict::of(&source, "");
        assert_eq!(detect_form(&state), Form::Folded, "{variant:?}");
        let mut net = variant.build_classifier(CLASSES).unwrap();
        load_any_form(&mut net, "", &state, Strictness::Exact).unwrap();
        assert!(logits(&net).equal(&logits(&source)), "{variant:?}");
    }
}

#[test]
fn a_bad_fit_is_listed_in_full_and_changes_nothing() {
    let net = filled();
    let before = StateDict::of(&net, "");
    let mut state = StateDict::of(&net, "");
    for (_, t) in &mut state.tensors {
        *t = t.zeros_like();
    }
    state.tensors.retain(|(n, _)| n != "conv_head.bias");
    for (name, tensor) in &mut state.tensors {
        match name.as_str() {
            "bn1.weight" => *name = "bn1.gamma".into(),
            "classifier.bias" => *tensor = Tensor::zeros([1], (Kind::Float, tch::Device::Cpu)),
            "conv_stem.weight" => *tensor = tensor.to_kind(Kind::Int64),
            _ => {}
        }
    }
    for strictness in [Strictness::Exact, Strictness::Covering] {
        let error = load(&net, "", &state, strictness).unwrap_err();
        let WeightsError::Fit(report) = &error else { panic!("{error}") };
        assert_eq!(report.missing, ["bn1.weight", "conv_head.bias"]);
        assert_eq!(report.unexpected, ["bn1.gamma"]);
        let mismatch = |name: &str, expected: &str, found: &str| Mismatch {
            name: name.into(),
            expected: expected.into(),
            found: found.into(),
        };
        // A [1] is not broadcast into a [6]; integers are not cast to floats.
        assert_eq!(
            report.shape_mismatch,
            [mismatch("conv_stem.weight", "Float [8, 3, 3, 3]", "Int64 [8, 3, 3, 3]"), mismatch("classifier.bias", "[6]", "[1]")]
        );
        let text = error.to_string();
        for part in ["missing from the file (2): bn1.weight, conv_head.bias", "unexpected in the file (1): bn1.gamma"] {
            assert!(text.contains(part), "{text}");
        }
        for (name, tensor) in StateDict::of(&net, "").tensors {
            assert!(tensor.equal(before.get(&name).unwrap()), "{name} changed");
        }
    }
    let report = load(&net, "", &state, Strictness::Partial).unwrap();
    assert_eq!(report.loaded.len(), 672 - 4);
    for (name, tensor) in StateDict::of(&net, "").tensors {
        let kept = report.missing.contains(&name) || report.shape_mismatch.iter().any(|m| m.name == name);
        let zero = !kept;
        assert_eq!(tensor.count_nonzero(None::<i64>).int64_value(&[]) == 0, zero || before_is_zero(&before, &name), "{name}");
    }
}

fn before_is_zero(before: &StateDict, name: &str) -> bool {
    before.get(name).unwrap().count_nonzero(None::<i64>).int64_value(&[]) == 0
}

#[test]
fn a_detector_takes_what_it_keeps_and_lists_the_classifier() {
    let mut net = config().build_classifier(CLASSES).unwrap();
    assert!(net.keep_levels(&[3, 4, 5]));
    let state = StateDict::of(&filled(), "");
    let report = load_any_form(&mut net, "", &state, Strictness::Exact).unwrap();
    assert!(report.dropped.contains(&"classifier.weight".to_string()) && report.unexpected.is_empty());
    assert_eq!(report.loaded.len() + report.dropped.len() + report.ignored.len(), 672);
    assert_eq!(report.ignored, ["blocks.9.0.bn1.num_batches_tracked"]);
}

#[test]
fn a_prefix_selects_a_part_of_the_file() {
    let net = filled();
    let mut state = StateDict::of(&net, "backbone.body.");
    state.tensors.push(("head.weight".into(), synthetic::input("head", &[2])));
    let mut other = config().build_classifier(CLASSES).unwrap();
    let report = load_any_form(&mut other, "backbone.body.", &state, Strictness::Exact).unwrap();
    assert_eq!(report.loaded.len(), 672);
    assert_eq!(report.loaded[0], "backbone.body.conv_stem.weight");
    assert!(logits(&net).equal(&logits(&other)));
    assert_eq!(state.under("backbone.body.").len(), 672);
    assert_eq!(load(&other, "elsewhere.", &state, Strictness::Partial).unwrap().loaded.len(), 0);
}

#[test]
fn counters_may_be_absent_and_profiler_leftovers_present() {
    let net = filled();
    let mut state = StateDict::of(&net, "");
    state.tensors.retain(|(n, _)| !n.ends_with("num_batches_tracked"));
    state.tensors.push(("blocks.0.total_ops".into(), Tensor::from(1.0)));
    state.tensors.push(("total_params".into(), Tensor::from(1.0)));
    let report = load(&net, "", &state, Strictness::Exact).unwrap();
    assert_eq!((report.loaded.len(), report.ignored.len()), (672 - NORMS, NORMS + 2));
}

#[test]
fn half_precision_files_are_converted_and_that_is_listed() {
    let net = filled();
    let mut state = StateDict::of(&net, "");
    for (_, t) in &mut state.tensors {
        if t.is_floating_point() {
            *t = t.to_kind(Kind::Half);
        }
    }
    let other = config().build_classifier(CLASSES).unwrap();
    let report = load(&other, "", &state, Strictness::Exact).unwrap();
    assert_eq!(report.converted.len(), 672 - NORMS, "all but the counters");
    assert!(report.converted.iter().all(|c| (c.from, c.to) == (Kind::Half, Kind::Float)));
    assert!(report.to_string().contains("converted (560): conv_stem.weight (Half to Float)"), "{report}");
    assert!(other.named_tensors().iter().all(|e| e.tensor.kind() != Kind::Half), "the model keeps its kind");
    assert!(largest_difference(&logits(&net), &logits(&other)) < 2e-2);
}

#[test]
fn every_width_and_variant_is_guessed_from_its_weights() {
    for width in [0.5, 0.58, 0.8, 1.0, 1.11, 1.3, 1.5, 2.0, 0.25, 0.9, 1.75] {
        let mut net = BackboneConfig { width, ..config() }.build_classifier(CLASSES).unwrap();
        for prefix in ["", "backbone.body."] {
            let g = guess(&StateDict::of(&net, prefix)).unwrap();
            assert_eq!((g.network.as_str(), g.prefix.as_str(), &g.head), ("repghostnet", prefix, &None));
            let guessed = BackboneConfig { width: g.width.unwrap(), ..config() }.build_classifier(CLASSES).unwrap();
            let shapes = |n: &Backbone| n.named_tensors().iter().map(|e| e.tensor.size()).collect::<Vec<_>>();
            assert_eq!(shapes(&guessed), shapes(&config_at(width)), "{width} was guessed as {:?}", g.width);
        }
        net.fuse(FuseLevel::All);
        assert_eq!(guess(&StateDict::of(&net, "")).unwrap().network, "repghostnet");
    }
    assert_eq!(guess(&StateDict::default()), None);
}

/// NaN and infinity are refused by name, and nothing is copied.
#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let net = filled();
    for (value, name) in [(f64::NAN, "blocks.2.0.ghost1.primary_conv.1.running_var"), (f64::INFINITY, "conv_stem.weight")] {
        let mut state = StateDict::of(&net, "");
        let (_, tensor) = state.tensors.iter_mut().find(|(n, _)| n == name).unwrap();
        let _ = tensor.view([-1]).get(1).fill_(value);
        let other = config().build_classifier(CLASSES).unwrap();
        let before = StateDict::of(&other, "");
        for strictness in [Strictness::Exact, Strictness::Covering, Strictness::Partial] {
            let error = load(&other, "", &state, strictness).unwrap_err().to_string();
            assert!(error.contains(&format!("tensor '{name}' has 1 of")) && !error.contains("other tensors"), "{error}");
        }
        for ((name, a), (_, b)) in before.tensors.iter().zip(&StateDict::of(&other, "").tensors) {
            assert!(a.equal(b), "{name} was changed");
        }
    }
    let mut state = StateDict::of(&net, "");
    for (_, tensor) in state.tensors.iter_mut().filter(|(n, _)| n.ends_with("running_var")).take(3) {
        let _ = tensor.get(0).fill_(f64::NAN);
    }
    let error = load(&net, "", &state, Strictness::Exact).unwrap_err().to_string();
    assert!(error.ends_with("and so have 2 other tensors"), "{error}");
}

/// A detector's file that still has its backbone's classifier fits, with a note; names that belong to nothing do not.
#[test]
fn a_dropped_classifier_in_the_file_is_no_misfit() {
    for name in ["repghostnet", "resnet18", "mobilenet_v3_small", "mobilenetv4_conv_small"] {
        let whole = BackboneConfig::named(name).build_classifier(CLASSES).unwrap();
        let (_, features) = (synthetic::fill(&whole, ""), BackboneConfig::named(name).build_features().unwrap());
        let mut state = StateDict::of(&whole, "");
        let report = load(&features, "", &state, Strictness::Exact).unwrap();
        let counters = |names: &[String]| names.iter().filter(|n| n.ends_with("num_batches_tracked")).count();
        let extra = whole.named_tensors().len() - features.named_tensors().len();
        assert_eq!(report.dropped.len() + counters(&report.ignored), extra, "{name}");
        assert!(report.to_string().contains("not needed, as the model has no such part"), "{report}");
        state.tensors.push(("stranger.weight".into(), synthetic::input("w", &[1])));
        assert!(load(&features, "", &state, Strictness::Exact).is_err(), "{name}");
    }
    // A deeper network of the same names is no classifier: its blocks are named.
    let deep = BackboneConfig::named("resnet101").build_features().unwrap();
    let shallow = BackboneConfig::named("resnet50").build_features().unwrap();
    let error = load(&shallow, "", &StateDict::of(&deep, ""), Strictness::Exact).unwrap_err().to_string();
    assert!(error.contains("unexpected in the file") && error.contains("layer3.6.conv1.weight"), "{error}");
}

/// A prefix that is not every name's is named as the cause.
#[test]
fn a_prefix_of_the_files_names_is_named() {
    let net = filled();
    let mut state = StateDict::of(&net, "encoder.");
    state.tensors.push(("loss.weight".into(), synthetic::input("w", &[1])));
    let error = load(&net, "", &state, Strictness::Exact).unwrap_err().to_string();
    assert!(error.contains("the file's names carry the prefix 'encoder.'"), "{error}");
    let report = load(&net, "encoder.", &state, Strictness::Exact).unwrap();
    assert_eq!((report.prefix, report.loaded.len()), (None, 672));
}

fn config_at(width: f64) -> Backbone {
    BackboneConfig { width, ..config() }.build_classifier(CLASSES).unwrap()
}

/// Every name of the registry, as it is built and folded.
#[test]
fn every_backbone_is_guessed_by_its_name() {
    for name in repghost_backbone::registry::names() {
        let mut net = BackboneConfig { name: name.to_string(), ..Default::default() }.build_classifier(10).unwrap();
        for form in ["trained", "branches folded", "folded"] {
            let found = guess(&StateDict::of(&net, "")).unwrap_or_else(|| panic!("{name}, {form}: no guess"));
            // Without its branches and norms, GhostNetV3 is GhostNetV2, name by name.
            let expected = if (name, form) == ("ghostnetv3", "folded") { "ghostnetv2" } else { name };
            assert_eq!(found.network, expected, "{form}");
            assert!(found.width.is_none_or(|w| w == 1.0), "{name}, {form}: {:?}", found.width);
            net.fuse(if form == "trained" { FuseLevel::Branches } else { FuseLevel::All });
        }
    }
}

#[test]
fn inspecting_lists_all_that_is_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let mut state = StateDict::of(&filled(), "");
    state.metadata.insert("epoch".into(), "12".into());
    weights::write(&path, &state).unwrap();
    let found = weights::inspect(&path).unwrap();
    assert_eq!((found.tensors.len(), found.form), (672, Form::Train));
    assert_eq!(found.guess.as_ref().unwrap().to_string(), "repghostnet 0.5x");
    assert_eq!(found.metadata["epoch"], "12");
    assert_eq!(found.elements(), state.tensors.iter().map(|(_, t)| t.numel() as i64).sum::<i64>());
    let stem = found.tensors.iter().find(|t| t.name == "conv_stem.weight").unwrap();
    assert_eq!((stem.shape.as_slice(), stem.kind), (&[8, 3, 3, 3][..], Kind::Float));
}
