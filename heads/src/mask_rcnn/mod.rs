//! Mask R-CNN (He et al., 2017): boxes in two stages and a mask in each.

pub mod paste;
