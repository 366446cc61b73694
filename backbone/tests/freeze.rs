//! The batch-norm switches in training: what moves and what stays.

use std::collections::BTreeMap;

use repghost_backbone::freeze::{freeze, freeze_affine, freeze_stages, use_running_stats};
use repghost_backbone::{synthetic, Backbone, BackboneConfig, Eager, Tree};
use tch::Tensor;

fn network() -> Backbone {
    // Tests run side by side; torch's threads would only wait for each other.
    tch::set_num_threads(1);
    let mut net = BackboneConfig { width: 0.25, ..Default::default() }.build_classifier(4).unwrap();
    synthetic::fill(&net, "");
    assert!(net.keep_levels(&[3, 4, 5]));
    net
}

/// One step of plain gradient descent on every parameter that asks for a gradient; returns what changed, by name.
fn changed_by_a_step(net: &Backbone) -> BTreeMap<String, bool> {
    let before: Vec<Tensor> = net.named_tensors().iter().map(|e| e.tensor.detach().copy()).collect();
    let maps = net.features(&mut Eager::train(), &synthetic::input("image", &[2, 3, 64, 64]));
    let loss = maps.iter().map(|m| (m * m).mean(None)).reduce(|a, b| a + b).unwrap();
    for e in net.named_tensors() {
        if e.tensor.requires_grad() {
            e.tensor.shallow_clone().zero_grad();
        }
    }
    if loss.requires_grad() {
        loss.backward();
    }
    tch::no_grad(|| {
        for mut e in net.named_tensors() {
            let gradient = e.tensor.grad();
            if gradient.defined() {
                e.tensor -= gradient * 0.1;
            }
        }
    });
    net.named_tensors().into_iter().zip(before).map(|(e, b)| (e.name, e.tensor != b)).collect()
}

#[test]
fn all_moves_in_plain_training() {
    let net = network();
    let changed = changed_by_a_step(&net);
    let still: Vec<&String> = changed.iter().filter(|(_, c)| !**c).map(|(n, _)| n).collect();
    assert!(still.is_empty(), "{still:?}");
}

#[test]
fn inference_moves_no_statistics() {
    let net = network();
    let before: Vec<Tensor> = net.named_tensors().iter().map(|e| e.tensor.detach().copy()).collect();
    net.features(&mut Eager::eval(), &synthetic::input("image", &[2, 3, 64, 64]));
    assert!(net.named_tensors().iter().zip(&before).all(|(e, b)| e.tensor == *b));
}

#[test]
fn running_statistics_switch_stops_statistics_only() {
    let net = network();
    assert_eq!(use_running_stats(&net, true), net.survey().norms.len());
    let statistic = |n: &str| n.ends_with("running_mean") || n.ends_with("running_var") || n.ends_with("num_batches_tracked");
    for (name, changed) in changed_by_a_step(&net) {
        assert_eq!(changed, !statistic(&name), "{name}");
    }
    use_running_stats(&net, false);
    for (name, changed) in changed_by_a_step(&net) {
        assert!(changed || !statistic(&name), "{name} does not move again");
    }
}

#[test]
fn running_statistics_give_the_outputs_of_inference() {
    let net = network();
    let image = synthetic::input("image", &[2, 3, 64, 64]);
    let [train, eval] = [Eager::train(), Eager::eval()].map(|mut ops| {
        use_running_stats(&net, ops.train);
        net.features(&mut ops, &image)
    });
    assert!(train.iter().zip(&eval).all(|(a, b)| a == b));
}

#[test]
fn affine_switch_stops_scale_and_shift_only() {
    let net = network();
    let norms: Vec<String> = net.survey().norms.into_iter().map(|(path, _)| path).collect();
    let affine = |name: &str| norms.iter().any(|n| name == format!("{n}.weight") || name == format!("{n}.bias"));
    let elements: i64 = net.named_tensors().iter().filter(|e| affine(&e.name)).map(|e| e.tensor.numel() as i64).sum();
    assert_eq!(freeze_affine(&net), elements);
    for (name, changed) in changed_by_a_step(&net) {
        assert_eq!(changed, !affine(&name), "{name}");
    }
}

/// Stage 1 ends at blocks.2 although a RetinaNet does not tap C2.
#[test]
fn frozen_stages_stop_weights_and_statistics_of_the_first_blocks() {
    for (stages, groups) in [(0, 0), (1, 3), (2, 5), (4, 9)] {
        let net = network();
        let frozen = |name: &str| {
            let group = name.strip_prefix("blocks.").and_then(|n| n.split('.').next()?.parse::<usize>().ok());
            groups > 0 && group.is_none_or(|g| g < groups)
        };
        freeze_stages(&net, stages);
        for turn in ["before", "after"] {
            for (name, changed) in changed_by_a_step(&net) {
                assert_eq!(changed, !frozen(&name), "{stages} stages, {turn} clearing the statistics switch: {name}");
            }
            use_running_stats(&net, false);
        }
    }
}

#[test]
fn freezing_all_leaves_nothing_to_learn() {
    let net = network();
    assert_eq!(freeze(&net), net.parameter_count());
    assert!(net.named_tensors().iter().all(|e| !e.tensor.requires_grad()));
}

/// One image whose coarsest map is a single pixel: a batch without variance must not poison the statistics.
#[test]
fn a_batch_of_one_value_a_channel_leaves_finite_statistics() {
    let net = network();
    net.features(&mut Eager::train(), &synthetic::input("image", &[1, 3, 32, 32]));
    for e in net.named_tensors() {
        assert!(e.tensor.isfinite().all().int64_value(&[]) == 1, "{}", e.name);
    }
}
