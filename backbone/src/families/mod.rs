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

use crate::member::Member;

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
