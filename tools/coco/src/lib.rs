//! Images and their objects: annotation files to decoded, augmented batches; COCO metrics. No tensors in here.
//!
//! ```
//! use repghost_coco::{ShapesSource, Source};
//!
//! // A picture of the built-in data set, with its objects.
//! let source = ShapesSource { seed: 1, first: 0, count: 8, config: Default::default(), masks: true };
//! let sample = source.load(0)?;
//! assert_eq!(sample.target.boxes.len(), sample.target.labels.len());
//! let [width, height] = sample.size().map(|side| side as f32);
//! assert!(sample.target.boxes.iter().all(|b| b[0] < b[2] && b[2] <= width && b[1] < b[3] && b[3] <= height));
//! # Ok::<(), repghost_coco::DataError>(())
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`annotations`], [`formats`] | COCO's annotation files; YOLO, Pascal VOC, CVAT and LabelMe as the same records |
//! | [`check`], [`stats`], [`browse`], [`crops`] | reports on a data set; objects as an image folder |
//! | [`source`], [`sample`], [`decode`], [`mask`] | images with their objects, one at a time; outlines and masks |
//! | [`augment`], [`transform`], [`resize`] | augmentation, each sample from its own random stream ([`stream`]) |
//! | [`loader`], [`sampler`] | batches, by worker threads, in the same order for any number of them |
//! | [`classify`] | image folders and the augmentation of classifiers |
//! | [`shapes`] | built-in data: drawn shapes |
//! | [`metrics`], [`detections`] | pycocotools' numbers; files of detections |
//! | [`draw`] | boxes and masks on images |

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
pub mod duplicates;
pub mod edit;
pub mod error;
pub mod files;
pub mod formats;
pub mod judge;
pub mod loader;
pub mod mask;
pub mod metrics;
pub mod pixels;
pub mod repeat_factor;
pub mod resize;
pub mod sample;
pub mod sampler;
pub mod shapes;
pub mod shards;
pub mod source;
pub mod stats;
pub mod stream;
pub mod transform;
pub mod types;
pub mod unfinished;

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
pub use loader::{Loader, LoaderConfig, OnUnreadableImage, Share};
pub use mask::MaskShape;
pub use metrics::{evaluate, Evaluation, IouType, MetricError, Numbers};
pub use pixels::Pixels;
pub use repeat_factor::{RepeatFactorConfig, RepeatFactors};
pub use repghost_config::Check;
pub use resize::Normalize;
pub use sample::Sample;
pub use shapes::ShapesSource;
pub use source::{CocoSource, Source};
pub use transform::Transform;
pub use types::{Batch, BoxXyxy, InstanceMask, SampleTarget};
