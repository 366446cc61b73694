//! RepGhostNet (Chen et al., 2022, table 1): GhostNet's layout with thinner middles and RepGhost modules.

use super::ghost_layout::{self, Groups, Kind, Layout, Row, TAP_STYLES};
use crate::backbone::Backbone;
use crate::config::BackboneConfig;
use crate::member::Member;

/// The paper's table 1.
const GROUPS: Groups = [
    &[Row(3, 8.0, 16.0, false, 1)],
    &[Row(3, 24.0, 24.0, false, 2)],
    &[Row(3, 36.0, 24.0, false, 1)],
    &[Row(5, 36.0, 40.0, true, 2)],
    &[Row(5, 60.0, 40.0, true, 1)],
    &[Row(3, 120.0, 80.0, false, 2)],
    &[
        Row(3, 100.0, 80.0, false, 1),
        Row(3, 120.0, 80.0, false, 1),
        Row(3, 120.0, 80.0, false, 1),
        Row(3, 240.0, 112.0, true, 1),
        Row(3, 336.0, 112.0, true, 1),
    ],
    &[Row(5, 336.0, 160.0, true, 2)],
    &[
        Row(5, 480.0, 160.0, false, 1),
        Row(5, 480.0, 160.0, true, 1),
        Row(5, 480.0, 160.0, false, 1),
        Row(5, 480.0, 160.0, true, 1),
    ],
];

/// Published widths.
const WIDTHS: &[f64] = &[1.0, 0.5, 0.58, 0.8, 1.11, 1.3, 1.5, 2.0];

/// The network at every width; the ablations of the paper are its keys.
pub const MEMBERS: &[Member] = &[Member::new("repghostnet", build)
    .keys(&["width", "reuse", "branches", "shortcut", "se"])
    .taps(TAP_STYLES)
    .recognised_by(|s| ghost_layout::recognise(s, Kind::Added, WIDTHS))];

fn build(c: &BackboneConfig, classes: i64) -> Backbone {
    let layout = Layout { name: "repghostnet", groups: &GROUPS, reuse: Some(c.reuse()), gated_from: usize::MAX };
    ghost_layout::build(&layout, c, classes)
}
