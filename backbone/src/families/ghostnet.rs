//! GhostNet (Han et al., 2020, table 7), GhostNetV2 (Tang et al., 2022), which gates all bottlenecks but the first two, and GhostNetV3
//! (Liu et al., 2024), which is V2 with parallel branches in training.

use super::ghost_layout::{self, Groups, Kind, Layout, Row, TAP_STYLES};
use crate::backbone::Backbone;
use crate::blocks::Reuse;
use crate::config::BackboneConfig;
use crate::member::Member;

/// The paper's table 7.
const GROUPS: Groups = [
    &[Row(3, 16.0, 16.0, false, 1)],
    &[Row(3, 48.0, 24.0, false, 2)],
    &[Row(3, 72.0, 24.0, false, 1)],
    &[Row(5, 72.0, 40.0, true, 2)],
    &[Row(5, 120.0, 40.0, true, 1)],
    &[Row(3, 240.0, 80.0, false, 2)],
    &[
        Row(3, 200.0, 80.0, false, 1),
        Row(3, 184.0, 80.0, false, 1),
        Row(3, 184.0, 80.0, false, 1),
        Row(3, 480.0, 112.0, true, 1),
        Row(3, 672.0, 112.0, true, 1),
    ],
    &[Row(5, 672.0, 160.0, true, 2)],
    &[
        Row(5, 960.0, 160.0, false, 1),
        Row(5, 960.0, 160.0, true, 1),
        Row(5, 960.0, 160.0, false, 1),
        Row(5, 960.0, 160.0, true, 1),
    ],
];
const FIRST_GATED: usize = 2;
/// Published widths; one list, as the shapes are tried against all of them.
const WIDTHS: &[f64] = &[1.0, 0.5, 1.1, 1.3, 1.6];

/// The three versions. The gate of V2 and V3 halves the map once more; timm's networks take no image in which nothing is left to halve.
pub const MEMBERS: &[Member] = &[
    Member::new("ghostnet", |c, classes| build("ghostnet", Some(Reuse::Concat), usize::MAX, c, classes))
        .keys(&["width"])
        .taps(TAP_STYLES)
        .recognised_by(|s| ghost_layout::recognise(s, Kind::Concatenated, WIDTHS)),
    Member::new("ghostnetv2", |c, classes| build("ghostnetv2", Some(Reuse::Concat), FIRST_GATED, c, classes))
        .keys(&["width"])
        .taps(TAP_STYLES)
        .recognised_by(|s| ghost_layout::recognise(s, Kind::Gated, WIDTHS)),
    Member::new("ghostnetv3", |c, classes| build("ghostnetv3", None, FIRST_GATED, c, classes))
        .keys(&["width"])
        .taps(TAP_STYLES)
        .recognised_by(|s| ghost_layout::recognise(s, Kind::Branched, WIDTHS)),
];

fn build(name: &str, reuse: Option<Reuse>, gated_from: usize, c: &BackboneConfig, classes: i64) -> Backbone {
    ghost_layout::build(&Layout { name, groups: &GROUPS, reuse, gated_from }, c, classes)
}
