//! Parameters, multiply-adds and key counts of RepGhostNet against the figures measured on timm 1.0.31's models (see
//! `docs/numbers.md`).

use repghost_backbone::cost::Cost;
use repghost_backbone::{BackboneConfig, FuseLevel, Tree};

/// Width, parameters in training form, deploy form, all folded; multiply-adds at 224 px in millions.
const PUBLISHED: [(f64, i64, i64, i64, f64); 8] = [
    (0.5, 2_313_968, 2_306_528, 2_302_956, 43.31),
    (0.58, 2_546_388, 2_537_736, 2_533_576, 59.80),
    (0.8, 3_278_968, 3_267_112, 3_261_420, 95.52),
    (1.0, 4_073_604, 4_058_772, 4_051_648, 142.39),
    (1.11, 4_539_984, 4_523_568, 4_515_684, 170.12),
    (1.3, 5_478_612, 5_459_316, 5_450_052, 231.12),
    (1.5, 6_575_336, 6_553_064, 6_542_368, 301.32),
    (2.0, 9_796_124, 9_766_460, 9_752_212, 515.87),
];

#[test]
fn counts_equal_the_published_table() {
    for (width, train, deploy, folded, macs) in PUBLISHED {
        let config = BackboneConfig { width, ..Default::default() };
        let mut net = config.build(1000).unwrap();
        assert_eq!(net.parameter_count(), train, "{width} train");
        assert_eq!(net.named_tensors().len(), 672, "{width} keys");
        let mut cost = Cost::default();
        let out = net.classify(&mut cost, &vec![1, 3, 224, 224]);
        assert_eq!(out, [1, 1000]);
        assert!((cost.macs() as f64 / 1e6 - macs).abs() < 0.01, "{width}: {} M multiply-adds", cost.macs() as f64 / 1e6);
        net.fuse(FuseLevel::Branches);
        assert_eq!(net.parameter_count(), deploy, "{width} deploy");
        assert_eq!(net.named_tensors().len(), 384, "{width} deploy keys");
        net.fuse(FuseLevel::All);
        assert_eq!(net.parameter_count(), folded, "{width} folded");
    }
}
