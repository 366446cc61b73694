//! Weight files as Python writes them (`tools/fixtures/weight_files.py`), tensor by tensor.

use std::path::PathBuf;

use repghost_backbone::synthetic;
use repghost_backbone::weights::{self, Container, StateDict, WeightsError};
use tch::{Kind, Tensor};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/weights").join(name)
}

fn read(name: &str) -> StateDict {
    weights::read(fixture(name)).unwrap_or_else(|e| panic!("{e}"))
}

/// Same kind, shape and elements.
fn check(state: &StateDict, name: &str, expected: &Tensor) {
    let found = state.get(name).unwrap_or_else(|| panic!("no '{name}'"));
    assert_eq!((found.kind(), found.size()), (expected.kind(), expected.size()), "{name}");
    assert!(found.equal(expected), "{name}: {found} is not {expected}");
    assert!(found.is_contiguous(), "{name}");
}

#[test]
fn every_kind_in_every_container() {
    let f = synthetic::input("kinds", &[2, 3]);
    for (file, container) in [
        ("kinds.pth", Container::TorchZip),
        ("kinds_protocol4.pth", Container::TorchZip),
        ("kinds_legacy.pth", Container::TorchLegacy),
        ("kinds.safetensors", Container::Safetensors),
    ] {
        assert_eq!(weights::sniff(&fixture(file)).unwrap(), container, "{file}");
        let state = read(file);
        assert_eq!(state.len(), 11, "{file}");
        check(&state, "f32", &f);
        check(&state, "f64", &f.to_kind(Kind::Double));
        check(&state, "f16", &f.to_kind(Kind::Half));
        check(&state, "bf16", &f.to_kind(Kind::BFloat16));
        check(&state, "i64", &Tensor::from_slice(&[-1i64, 1 << 40]));
        check(&state, "i32", &Tensor::from_slice(&[-7i32, 1 << 30]));
        check(&state, "i8", &Tensor::from_slice(&[-128i8, 127]));
        check(&state, "u8", &Tensor::from_slice(&[0u8, 255]));
        check(&state, "bool", &Tensor::from_slice(&[true, false, true]));
        check(&state, "scalar", &Tensor::from(3i64));
        check(&state, "empty", &Tensor::zeros([0, 4], (Kind::Float, tch::Device::Cpu)));
    }
}

#[test]
fn views_of_one_storage_keep_their_strides_and_offsets() {
    let base = synthetic::input("base", &[4, 6]);
    for file in ["views.pth", "views_legacy.pth"] {
        let state = read(file);
        check(&state, "base", &base);
        check(&state, "transposed", &base.tr());
        check(&state, "slice", &base.slice(0, 1, 3, 1).slice(1, None, None, 2));
        check(&state, "last", &base.get(3).get(5));
        check(&state, "expanded", &base.get(2).get(2).expand([3, 2], false));
        check(&state, "parameter", &base.select(1, 1));
    }
}

#[test]
fn a_training_checkpoint_gives_its_ema_weights_and_its_scalars() {
    for file in ["checkpoint.pth", "checkpoint_legacy.pth"] {
        let state = read(file);
        assert_eq!(state.chosen.as_deref(), Some("state_dict_ema"));
        assert_eq!(state.names().collect::<Vec<_>>(), ["w", "n.num_batches_tracked"], "module. is stripped");
        check(&state, "w", &(synthetic::input("w", &[3]) * 2.0));
        check(&state, "n.num_batches_tracked", &Tensor::from(7i64));
        for (key, value) in [("epoch", "296"), ("arch", "repghostnet_0_5x"), ("version", "2"), ("metric", "66.946")] {
            assert_eq!(state.metadata.get(key).map(String::as_str), Some(value), "{file}: {key}");
        }
        // Protocol 2 spells a Python set as a call of `set`: named, not called.
        assert_eq!(state.foreign, ["__builtin__.set"]);
    }
}

#[test]
fn what_is_no_state_dict_is_refused_with_advice() {
    let whole = weights::read(fixture("whole_module.pth")).unwrap_err();
    assert!(matches!(&whole, WeightsError::WholeObject { class, .. } if class == "torch.nn.modules.linear.Linear"), "{whole}");
    assert!(whole.to_string().contains("model.state_dict()"));
    assert!(matches!(weights::read(fixture("torchscript.pt")).unwrap_err(), WeightsError::TorchScript { .. }));
}

#[test]
fn what_is_written_is_read_again_and_always_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    let mut state = read("kinds.pth");
    state.metadata.insert("epoch".into(), "3".into());
    state.metadata.insert("arch".into(), "quotes \" and ünïcode".into());
    weights::write(&path, &state).unwrap();
    let again = weights::read(&path).unwrap();
    assert_eq!((again.len(), &again.metadata), (state.len(), &state.metadata));
    for (name, tensor) in &state.tensors {
        check(&again, name, tensor);
    }
    let bytes = std::fs::read(&path).unwrap();
    for _ in 0..8 {
        weights::write(&path, &state).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "equal weights are equal files");
    }
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(header % 8, 0, "tensor data is aligned");
}

#[test]
fn views_and_reversed_layouts_are_written_contiguously() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    let x = synthetic::input("x", &[2, 3, 4, 5]);
    let last = x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    assert!(!last.is_contiguous());
    let state = StateDict { tensors: vec![("x".into(), last), ("t".into(), x.get(0).get(0).tr())], ..Default::default() };
    weights::write(&path, &state).unwrap();
    let again = weights::read(&path).unwrap();
    check(&again, "x", &x);
    check(&again, "t", &x.get(0).get(0).tr().contiguous());
}

#[test]
fn two_tensors_of_one_name_are_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.safetensors");
    let w = || ("w".to_string(), synthetic::input("w", &[1]));
    let state = StateDict { tensors: vec![w(), w()], ..Default::default() };
    assert!(matches!(weights::write(&path, &state), Err(WeightsError::DuplicateName { name, .. }) if name == "w"));
    assert!(!path.exists());
}

/// The weights of `linear(factor)` in the script.
fn check_linear(state: &StateDict, factor: f64) {
    assert_eq!(state.names().collect::<Vec<_>>(), ["weight", "bias"]);
    check(state, "weight", &(synthetic::input("weight", &[1, 3]) * factor));
    check(state, "bias", &(synthetic::input("bias", &[1]) * factor));
}

/// An average is taken before the weights, whatever its key and however it is nested; its counter of updates is no weight.
#[test]
fn averages_are_taken_and_named() {
    for (file, chosen) in [("average.pth", "ema"), ("average_nested.pth", "model_ema.module")] {
        let state = read(file);
        check_linear(&state, 2.0);
        assert_eq!(state.chosen.as_deref(), Some(chosen), "{file}");
        let note = &state.notes[0];
        assert!(note.contains(&format!("{chosen} was taken")) && note.contains("model is there too"), "{file}: {note}");
    }
}

#[test]
fn prefixes_of_wrappers_are_stripped_and_named() {
    for (file, prefix) in [("compiled_parallel.pth", "_orig_mod. and module."), ("lightning.pth", "model.")] {
        let state = read(file);
        check_linear(&state, 1.0);
        assert!(state.notes.iter().any(|n| n.contains(&format!("prefix {prefix} was stripped"))), "{file}: {:?}", state.notes);
    }
}

#[test]
fn other_keys_and_nested_state_dicts_are_found() {
    for (file, chosen) in [("model_state_dict.pth", "model_state_dict"), ("nested.pth", "net.state_dict")] {
        let state = read(file);
        check_linear(&state, 1.0);
        assert_eq!((state.chosen.as_deref(), state.notes.len()), (Some(chosen), 0), "{file}");
    }
}

/// A checkpoint of this project keeps `model.` even where nothing else is in it.
#[test]
fn prefixes_of_own_files_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let mut state = StateDict { tensors: vec![("model.w".into(), synthetic::input("w", &[1]))], ..Default::default() };
    weights::write(&path, &state).unwrap();
    assert_eq!(weights::read(&path).unwrap().names().collect::<Vec<_>>(), ["w"]);
    state.metadata.insert("repghost.progress".into(), "{}".into());
    weights::write(&path, &state).unwrap();
    assert_eq!(weights::read(&path).unwrap().names().collect::<Vec<_>>(), ["model.w"]);
}
