//! RepGhostNet at every published width against timm: names, logits and tapped maps, with the same weights and input.
//!
//! `tools/fixtures/repghostnet.py` makes the fixture.

use repghost_backbone::testing::Fixture;
use repghost_backbone::TapStyle;
use repghost_backbone::{synthetic, BackboneConfig, Eager, Tree};

const WIDTHS: [(&str, f64); 8] =
    [("050", 0.5), ("058", 0.58), ("080", 0.8), ("100", 1.0), ("111", 1.11), ("130", 1.3), ("150", 1.5), ("200", 2.0)];
const TOLERANCE: f64 = 1e-4;

/// The script's `names_digest`: FNV-1a of every name and shape.
fn names_digest(tree: &dyn Tree) -> i64 {
    let text: String = tree.named_tensors().iter().map(|e| format!("{}:{:?};", e.name, e.tensor.size())).collect();
    let text = text.replace(' ', "");
    text.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3)) as i64
}

#[test]
fn equals_timm_at_every_width() {
    // Tests run side by side; torch's threads would only wait for each other.
    tch::set_num_threads(1);
    let fixture = Fixture::open(env!("CARGO_MANIFEST_DIR"), "repghostnet_timm.safetensors");
    let image = synthetic::input("image", &[2, 3, 64, 96]);
    let mut worst: f64 = 0.0;
    for (label, width) in WIDTHS {
        for (taps, nodes) in [(TapStyle::StageEnd, [2, 4, 6, 8]), (TapStyle::Timm, [1, 3, 5, 7])] {
            let net = BackboneConfig { width, taps, ..Default::default() }.build_classifier(1000).unwrap();
            assert_eq!(names_digest(&net), fixture.tensor(&format!("{label}.names")).int64_value(&[]), "{label}: names");
            synthetic::fill_with_gain(&net, "", synthetic::DEEP_GAIN);
            tch::no_grad(|| {
                let logits = net.classify(&mut Eager::eval(), &image);
                worst = worst.max(fixture.compare_sampled(&format!("{label}.logits"), &logits, TOLERANCE));
                let maps = net.features(&mut Eager::eval(), &image);
                assert_eq!(maps.len(), nodes.len());
                for ((map, tap), node) in maps.iter().zip(net.taps()).zip(nodes) {
                    assert_eq!(map.size(), [2, tap.channels, 64 / tap.stride, 96 / tap.stride], "{label}: {tap:?}");
                    worst = worst.max(fixture.compare_sampled(&format!("{label}.blocks.{node}"), map, TOLERANCE));
                }
            });
        }
    }
    println!("largest difference from timm over all widths, logits and maps: {worst:e}");
}
