//! COCO data on disk to decoded, augmented samples; COCO metrics. No tensors in here.

pub mod annotations;
pub mod detections;
pub mod draw;
pub mod files;
pub mod mask;
pub mod metrics;
pub mod shapes;
pub mod stats;
pub mod types;

pub use annotations::{
    Annotation, AnnotationError, BadAnnotations, ClassList, Dataset, DatasetOptions, ImageRecord, LabelMode, Rle,
    SampleAnnotations, Segmentation,
};
pub use detections::{read_detections, write_detections, Detection};
pub use mask::MaskShape;
pub use metrics::{evaluate, Evaluation, IouType, MetricError, Numbers};
pub use types::{Batch, BoxXyxy, InstanceMask, SampleTarget};
