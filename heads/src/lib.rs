//! Heads: feature maps in, losses or detections out.
//!
//! | module | what is in it |
//! |---|---|
//! | [`types`] | batches, targets, losses, detections |
//! | [`fpn`], [`pyramid_backbone`] | the feature pyramid; a backbone that carries one |
//! | [`classes`] | which output of a head is which class |
//! | [`anchors`] | boxes that guesses start from |
//! | [`boxes`], [`box_coder`] | box arithmetic; boxes as offsets and back |
//! | [`matcher`] | which anchor learns which object |
//! | [`nms`] | of overlapping boxes, the best |
//! | [`roi_align`] | features of a region on a fixed grid |
//! | [`mask_rcnn`] | the detector with masks |
//! | [`losses`] | focal loss; L1, smooth L1 and GIoU losses of boxes |
//! | [`retinanet`] | the dense detector |
//! | [`detector`] | all detectors as one type |
//! | [`legacy_names`] | names of older torchvision checkpoints |

pub mod anchors;
pub mod box_coder;
pub mod boxes;
mod card;
pub mod classes;
pub mod detector;
pub mod error;
pub mod fpn;
pub mod init;
pub mod legacy_names;
pub mod losses;
pub mod mask_rcnn;
pub mod matcher;
pub mod nms;
pub mod pyramid_backbone;
pub mod retinanet;
pub mod roi_align;
pub mod slices;
pub mod types;

pub use detector::{Detector, HeadConfig};
pub use error::HeadError;
pub use fpn::{ExtraLevels, FpnConfig};
pub use retinanet::{PostprocessConfig, RetinaNet, RetinaNetConfig};
pub use types::{CroppedMask, Detections, ImageBatch, Losses, Target};
