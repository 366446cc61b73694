//! COCO data on disk to decoded, augmented samples; COCO metrics. No tensors in here.

pub mod types;

pub use types::{Batch, BoxXyxy, InstanceMask, SampleTarget};
