//! Heads: feature maps in, losses or detections out.
//!
//! | module | what is in it |
//! |---|---|
//! | [`types`] | batches, targets, losses, detections |
//! | [`fpn`], [`pyramid_backbone`] | the feature pyramid; a backbone that carries one |
//! | [`anchors`] | boxes that guesses start from |
//! | [`boxes`], [`box_coder`] | box arithmetic; boxes as offsets and back |
//! | [`matcher`] | which anchor learns which object |
//! | [`nms`] | of overlapping boxes, the best |
//! | [`roi_align`] | features of a region on a fixed grid |
//! | [`mask_rcnn`] | the detector with masks |

pub mod anchors;
pub mod box_coder;
pub mod boxes;
pub mod error;
pub mod fpn;
pub mod init;
pub mod mask_rcnn;
pub mod matcher;
pub mod nms;
pub mod pyramid_backbone;
pub mod roi_align;
pub mod types;

pub use error::HeadError;
pub use types::{CroppedMask, Detections, ImageBatch, Losses, Target};
