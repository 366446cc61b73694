//! One file per family: a builder and the rows of its networks.
//!
//! A new network is a file here (with its [`Member`] rows), its `mod` line and its line in [`FAMILIES`].

pub mod g_ghost_regnet;
mod ghost_layout;
pub mod ghostnet;
mod init;
pub mod mobilenet_v2;
pub mod mobilenet_v3;
pub mod mobilenet_v4;
pub mod mobileone;
pub mod repghostnet;
pub mod repghostnetv2;
pub mod repvgg;
pub mod resnet;
mod universal;

use crate::member::{Description, Member};

/// The rows of all families, in the order in which names are listed.
pub const FAMILIES: &[&[Member]] = &[
    repghostnet::MEMBERS,
    repghostnetv2::MEMBERS,
    ghostnet::MEMBERS,
    mobilenet_v2::MEMBERS,
    mobilenet_v3::MEMBERS,
    mobilenet_v4::MEMBERS,
    resnet::MEMBERS,
    repvgg::MEMBERS,
    mobileone::MEMBERS,
    g_ghost_regnet::MEMBERS,
];

/// Number of rows.
const ROWS: usize = {
    let (mut rows, mut family) = (0, 0);
    while family < FAMILIES.len() {
        rows += FAMILIES[family].len();
        family += 1;
    }
    rows
};

/// [`FAMILIES`] without the builders, in the same order. Made at compile time, so that what uses it refers to no builder.
pub const DESCRIPTIONS: [Description; ROWS] = {
    let mut all = [FAMILIES[0][0].description(); ROWS];
    let (mut next, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            all[next] = FAMILIES[family][row].description();
            row += 1;
            next += 1;
        }
        family += 1;
    }
    all
};
