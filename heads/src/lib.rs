//! Heads: feature maps in, losses or detections out.

pub mod types;

pub use types::{CroppedMask, Detections, ImageBatch, Losses, Target};
