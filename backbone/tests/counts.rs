//! Parameters, multiply-adds and key counts of RepGhostNet against the figures measured on timm 1.0.31's models (see
//! `docs/numbers.md`).

use repghost_backbone::blocks::Branch;
use repghost_backbone::cost::Cost;
use repghost_backbone::TapStyle;
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
        let mut net = config.build_classifier(1000).unwrap();
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

/// Variant, parameters and keys in training form, parameters and keys in deploy form, at 0.5x. The official code leaves "none"
/// unfused (2,309,008 parameters, 512 keys); folding it too gives what every other variant gives.
#[test]
fn variants_have_the_published_counts_and_keys() {
    let with = |branches: &[Branch]| BackboneConfig { width: 0.5, branches: branches.to_vec(), ..Default::default() };
    // A dw1x1 branch adds its weight, one a channel, and its key in each of the 32 modules.
    // The modules' channels: what folding saves per channel is the fusion norm's 2 and one of the cheap norm's 2.
    let channels = (2_313_968 - 2_306_528) / 3;
    let cases = [
        ("bn", with(&[Branch::Bn]), 2_313_968, 672),
        ("identity", with(&[Branch::Identity]), 2_309_008, 512),
        ("none", with(&[]), 2_309_008, 512),
        ("bn + identity", with(&[Branch::Bn, Branch::Identity]), 2_313_968, 672),
        ("dw1x1", with(&[Branch::Dw1x1]), 2_313_968 + channels, 704),
        ("no shortcut", BackboneConfig { shortcut: false, ..with(&[Branch::Bn]) }, 2_313_968, 672),
    ];
    for (name, config, parameters, keys) in cases {
        let mut net = config.build_classifier(1000).unwrap();
        assert_eq!((net.parameter_count(), net.named_tensors().len()), (parameters, keys), "{name}, training");
        net.fuse(FuseLevel::Branches);
        assert_eq!((net.parameter_count(), net.named_tensors().len()), (2_306_528, 384), "{name}, deploy");
        net.fuse(FuseLevel::All);
        assert_eq!(net.parameter_count(), 2_302_956, "{name}, folded");
    }
}

/// Squeeze-excite off removes the 7 gates: two biased 1x1 convolutions each, of the widths of table 1.6.
#[test]
fn without_squeeze_excite_seven_gates_are_gone() {
    let on = BackboneConfig { width: 0.5, ..Default::default() };
    let off = BackboneConfig { se: false, ..on.clone() };
    let gates = [(20, 8), (32, 8), (120, 32), (168, 44), (168, 44), (240, 60), (240, 60)];
    let expected: i64 = gates.iter().map(|(c, r)| c * r + r + r * c + c).sum();
    let [on, off] = [on, off].map(|c| c.build_classifier(1000).unwrap());
    assert_eq!(on.parameter_count() - off.parameter_count(), expected);
    assert_eq!(on.named_tensors().len() - off.named_tensors().len(), 7 * 4);
}

/// Width, parameters up to C5 in training form and all folded, multiply-adds in millions.
const TO_C5: [(f64, i64, i64, f64); 8] = [
    (0.5, 377_928, 367_396, 39.54),
    (0.58, 500_164, 487_908, 55.31),
    (0.8, 913_808, 897_028, 88.44),
    (1.0, 1_407_004, 1_386_008, 132.36),
    (1.11, 1_706_392, 1_683_156, 158.31),
    (1.3, 2_336_812, 2_309_500, 215.53),
    (1.5, 3_101_376, 3_069_848, 281.26),
    (2.0, 5_438_004, 5_396_012, 482.03),
];

#[test]
fn what_a_detector_keeps_has_the_published_counts() {
    for (width, train, folded, macs) in TO_C5 {
        let mut net = BackboneConfig { width, ..Default::default() }.build_classifier(1000).unwrap();
        assert!(net.keep_levels(&[3, 4, 5]));
        assert_eq!(net.parameter_count(), train, "{width}");
        for form in ["training", "folded"] {
            let mut cost = Cost::default();
            net.features(&mut cost, &vec![1, 3, 224, 224]);
            assert!((cost.macs() as f64 / 1e6 - macs).abs() < 0.01, "{width} {form}: {}", cost.macs() as f64 / 1e6);
            assert_eq!(cost.parameters(), net.parameter_count(), "{width} {form}: rows and tree disagree");
            net.fuse(FuseLevel::All);
        }
        assert_eq!(net.parameter_count(), folded, "{width}");
    }
}

/// Channels of the taps at each width, in both styles (they differ at C4).
#[test]
fn taps_have_the_published_channels() {
    let ends = [
        (0.5, [12, 20, 56, 80]),
        (0.58, [16, 24, 64, 92]),
        (0.8, [20, 32, 88, 128]),
        (1.0, [24, 40, 112, 160]),
        (1.11, [28, 44, 124, 176]),
        (1.3, [32, 52, 144, 208]),
        (1.5, [36, 60, 168, 240]),
        (2.0, [48, 80, 224, 320]),
    ];
    let timm_c4 = [40, 48, 64, 80, 88, 104, 120, 160];
    for ((width, channels), c4) in ends.into_iter().zip(timm_c4) {
        let taps = |taps| {
            let net = BackboneConfig { width, taps, ..Default::default() }.build_classifier(1000).unwrap();
            net.taps().iter().map(|t| (t.level, t.stride, t.channels)).collect::<Vec<_>>()
        };
        let [c2, c3, end, c5] = channels;
        assert_eq!(taps(TapStyle::StageEnd), [(2, 4, c2), (3, 8, c3), (4, 16, end), (5, 32, c5)], "{width}");
        assert_eq!(taps(TapStyle::Timm), [(2, 4, c2), (3, 8, c3), (4, 16, c4), (5, 32, c5)], "{width}");
    }
}

#[test]
fn any_width_builds_and_others_are_refused() {
    for width in [0.05, 0.1, 0.33, 0.9, 1.07, 1.77, 3.0] {
        let net = BackboneConfig { width, ..Default::default() }.build_classifier(7).unwrap();
        assert_eq!(net.classify(&mut Cost::default(), &vec![1, 3, 64, 64]), [1, 7], "{width}");
    }
    for width in [0.0, -1.0, f64::NAN, f64::INFINITY, 17.0] {
        let error = BackboneConfig { width, ..Default::default() }.build_classifier(7).unwrap_err();
        assert!(error.to_string().starts_with("model.backbone.width: "), "{error}");
    }
}
