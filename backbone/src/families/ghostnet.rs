//! GhostNet (Han et al., 2020, table 7) and GhostNetV2 (Tang et al., 2022), which gates all bottlenecks but the first two.

use super::ghost_layout::{self, Groups, Layout, Row};
use crate::backbone::Backbone;
use crate::blocks::Reuse;
use crate::registry::TapStyle;

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

/// Which of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// GhostNet.
    V1,
    /// GhostNetV2. Its gate halves the map once more, so images must be larger than 32 pixels both ways.
    V2,
}

/// Settings of the network.
#[derive(Clone, Debug)]
pub struct Settings {
    /// GhostNet or GhostNetV2.
    pub version: Version,
    /// Channel multiplier; published are 0.5, 1.0, 1.1, 1.3 and, for V2, 1.0, 1.3, 1.6.
    pub width: f64,
    /// Classes of the classifier.
    pub classes: i64,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Which blocks a detector taps.
    pub taps: TapStyle,
}

/// Builds the network.
pub fn build(s: &Settings) -> Backbone {
    let (name, gated_from) = match s.version {
        Version::V1 => ("ghostnet", usize::MAX),
        Version::V2 => ("ghostnetv2", FIRST_GATED),
    };
    ghost_layout::build(&Layout {
        name,
        groups: &GROUPS,
        width: s.width,
        reuse: &Reuse::Concat,
        gated_from,
        shortcut: true,
        squeeze_excite: true,
        classes: s.classes,
        dropout: s.dropout,
        taps: s.taps,
    })
}
