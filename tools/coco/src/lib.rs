//! COCO data on disk to decoded, augmented samples; COCO metrics. No tensors in here.

pub mod annotations;
pub mod augment;
pub mod browse;
mod buffers;
pub mod check;
pub mod classify;
pub mod contents;
pub mod crops;
pub mod decode;
pub mod detections;
pub mod draw;
pub mod error;
pub mod files;
pub mod formats;
pub mod loader;
pub mod mask;
pub mod metrics;
pub mod resize;
pub mod sample;
pub mod sampler;
pub mod shapes;
pub mod source;
pub mod stats;
pub mod stream;
pub mod transform;
pub mod types;

pub use annotations::{
    Annotation, AnnotationError, ClassList, Dataset, DatasetOptions, ImageRecord, LabelMode, OnBadAnnotation, Rle,
    SampleAnnotations, Segmentation,
};
pub use augment::{AugmentConfig, ResizeConfig};
pub use decode::{read_image, DecodeConfig};
pub use detections::{read_detections, write_detections, Detection};
pub use error::DataError;
pub use formats::Place;
pub use image::RgbImage;
pub use loader::{Loader, LoaderConfig, OnUnreadableImage};
pub use mask::MaskShape;
pub use metrics::{evaluate, Evaluation, IouType, MetricError, Numbers};
pub use repghost_config::Check;
pub use resize::Normalize;
pub use sample::Sample;
pub use shapes::ShapesSource;
pub use source::{CocoSource, Source};
pub use transform::Transform;
pub use types::{Batch, BoxXyxy, InstanceMask, SampleTarget};
