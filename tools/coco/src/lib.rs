//! COCO data on disk to decoded, augmented samples; COCO metrics. No tensors in here.

pub mod annotations;
pub mod types;

pub use annotations::{
    Annotation, AnnotationError, BadAnnotations, ClassList, Dataset, DatasetOptions, ImageRecord, LabelMode, Rle,
    SampleAnnotations, Segmentation,
};
pub use types::{Batch, BoxXyxy, InstanceMask, SampleTarget};
