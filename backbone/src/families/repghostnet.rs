//! RepGhostNet (Chen et al., 2022, table 1): GhostNet's layout with thinner middles and RepGhost modules.

use super::ghost_layout::{self, Groups, Layout, Row};
use crate::backbone::Backbone;
use crate::blocks::Reuse;
use crate::registry::TapStyle;

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

/// Settings of the network.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Channel multiplier; the paper has 0.5, 0.58, 0.8, 1.0, 1.11, 1.3, 1.5 and 2.0.
    pub width: f64,
    /// How ghost modules reuse features; the paper's network has `Add([Bn])`.
    pub reuse: Reuse,
    /// Identity shortcuts.
    pub shortcut: bool,
    /// Squeeze-and-excitation where the table has it.
    pub squeeze_excite: bool,
    /// Classes of the classifier.
    pub classes: i64,
    /// Dropout before the classifier.
    pub dropout: f64,
    /// Which blocks a detector taps.
    pub taps: TapStyle,
}

/// Builds the network.
pub fn build(s: &Settings) -> Backbone {
    ghost_layout::build(&Layout {
        name: "repghostnet",
        groups: &GROUPS,
        width: s.width,
        reuse: &s.reuse,
        gated_from: usize::MAX,
        shortcut: s.shortcut,
        squeeze_excite: s.squeeze_excite,
        classes: s.classes,
        dropout: s.dropout,
        taps: s.taps,
    })
}
