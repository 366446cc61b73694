//! Costs by stage add up to those of the whole, and equal counts by hand.

use repghost_backbone::complexity::{self, ModelCost};
use repghost_backbone::cost::Cost;
use repghost_backbone::{BackboneConfig, FuseLevel, Tree};

/// One of each kind of block.
const NAMES: [&str; 8] = [
    "repghostnet",
    "ghostnetv2",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet18",
    "ghost_resnet50",
    "repvgg_a0",
    "mobileone_s0",
];

#[test]
fn stages_add_up() {
    for name in NAMES {
        let mut net = BackboneConfig::named(name).build_classifier(7).unwrap();
        for level in [None, Some(FuseLevel::All)] {
            if let Some(level) = level {
                net.fuse(level);
            }
            let parts = complexity::of_backbone(&net, [2, 3, 65, 97]);
            assert_eq!(parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["C2", "C3", "C4", "C5", "classifier"]);
            let total: ModelCost = parts.iter().map(|p| p.cost).sum();
            let mut cost = Cost::default();
            net.classify(&mut cost, &vec![2, 3, 65, 97]);
            let written: i64 = cost.rows.iter().map(|r| r.activations).sum();
            assert_eq!(
                total,
                ModelCost { parameters: net.parameter_count(), macs: cost.macs(), activation_bytes: 4 * written },
                "{name}"
            );
        }
        assert!(net.keep_levels(&[3, 4]));
        let parts = complexity::of_backbone(&net, [1, 3, 64, 64]);
        assert_eq!(parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["C2", "C3", "C4"], "{name}");
    }
}

/// ResNet-18 at 224 px up to stride 4: a 7x7 convolution to 112 x 112, pooling, four 3x3 convolutions on 56 x 56.
#[test]
fn a_stage_by_hand() {
    let mut net = BackboneConfig::named("resnet18").build_classifier(1000).unwrap();
    let (fine, coarse) = (64 * 112 * 112, 64 * 56 * 56);
    let macs = fine * 3 * 49 + 4 * coarse * 64 * 9;
    let parameters = 64 * 3 * 49 + 2 * 64 + 4 * (64 * 64 * 9 + 2 * 64);
    // Written: stem convolution, norm and ReLU; pooling; in each of two blocks two convolutions, norms and ReLUs, and the sum.
    let unfused = ModelCost { parameters, macs, activation_bytes: 4 * (3 * fine + coarse + 2 * 7 * coarse) };
    assert_eq!(complexity::of_backbone(&net, [1, 3, 224, 224])[0].cost, unfused);
    net.fuse(FuseLevel::All);
    // Five norms less: scale and shift become one bias, and nothing is written.
    let fused = ModelCost { parameters: parameters - 5 * 64, macs, activation_bytes: 4 * (2 * fine + coarse + 2 * 5 * coarse) };
    assert_eq!(complexity::of_backbone(&net, [1, 3, 224, 224])[0].cost, fused);
}
