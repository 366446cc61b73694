//! Files under other code's names: timm's MobileNets, RepVGG's and MobileOne's authors. Names and logits are theirs
//! (`tools/fixtures/families_other_names.py`).

use repghost_backbone::weights::{self, load_any_form, StateDict, Strictness};
use repghost_backbone::{synthetic, BackboneConfig, Eager};
use serde::Deserialize;
use tch::{Kind, Tensor};

const CLASSES: i64 = 16;
const INPUT: [i64; 4] = [2, 3, 75, 101];
/// Share of the largest logit.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Row {
    config: BackboneConfig,
    spread: f64,
    names: Vec<(String, Vec<i64>)>,
    largest: f64,
    logits: Vec<f64>,
}

/// Synthetic weights by their names, as `synthetic.fill` of the script has them.
fn state(row: &Row) -> StateDict {
    let value = |name: &str, shape: &[i64]| {
        let u = synthetic::input(name, shape);
        if name.ends_with("running_mean") {
            u * 0.1
        } else if name.ends_with("running_var") {
            (u * 0.5 + 1.0) * row.spread
        } else if shape.len() == 1 && name.ends_with("weight") {
            u * 0.2 + 1.0
        } else if shape.len() == 1 {
            u * 0.1
        } else {
            u * (3.0 / shape[1..].iter().product::<i64>() as f64).sqrt()
        }
    };
    let tensors = row.names.iter().map(|(name, shape)| (name.clone(), value(name, shape))).collect();
    StateDict { tensors, ..Default::default() }
}

#[test]
fn other_names_are_renamed_and_give_their_outputs() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("fixtures/other_names.json")).unwrap();
    assert_eq!(rows.len(), 8);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    let image = synthetic::input("image", &INPUT);
    for row in rows {
        weights::write(&path, &state(&row)).unwrap();
        let read = weights::read(&path).unwrap();
        assert!(read.notes.len() == 1 && read.notes[0].contains("were renamed to"), "{:?}", read.notes);
        assert_eq!(weights::guess(&read).map(|g| g.network), Some(row.config.name.clone()));
        let mut net = row.config.build_classifier(CLASSES).unwrap();
        load_any_form(&mut net, "", &read, Strictness::Exact).unwrap();
        let logits = tch::no_grad(|| net.classify(&mut Eager::eval(), &image)).reshape([-1]);
        let step = (logits.numel() / row.logits.len()) as i64;
        let found = logits.slice(0, 0, step * row.logits.len() as i64, step).to_kind(Kind::Double);
        let off = f64::try_from((found - Tensor::from_slice(&row.logits)).abs().max()).unwrap() / row.largest;
        println!("{:<28}{} names, logits within {off:.1e}", net.name, row.names.len());
        assert!(off < TOLERANCE, "{}: {off}", net.name);
    }
}

/// Half of a scheme is no scheme: the file stays as it is, so that the loader lists every name.
#[test]
fn a_file_with_a_name_that_does_not_fit_is_left_alone() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("fixtures/other_names.json")).unwrap();
    let mut other = state(&rows[0]);
    other.tensors.push(("aux_head.weight".into(), synthetic::input("w", &[2])));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    weights::write(&path, &other).unwrap();
    let read = weights::read(&path).unwrap();
    assert!(read.notes.is_empty() && read.get("conv_stem.weight").is_some(), "{:?}", read.notes);
}
