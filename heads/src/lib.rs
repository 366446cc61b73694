//! Detection heads on a backbone: feature maps in, losses or detections out.
//!
//! A detector is described once. Its settings are a variant of [`HeadConfig`]; [`HeadConfig::build`] makes the [`Detector`], whose networks are
//! [`Stage`]s for any reader of [`Ops`](repghost_backbone::Ops) (libtorch, the ONNX and TorchScript writers, the counter of parameters and
//! multiply-adds); the code between and after the networks is the [`Decoder`], which holds no tensors.
//!
//! ```
//! use repghost_backbone::{BackboneConfig, Eager};
//! use repghost_heads::{FpnConfig, HeadConfig, ImageBatch, Target};
//! use tch::{Device, Kind, Tensor};
//!
//! let body = BackboneConfig { width: 0.5, ..Default::default() }.build_features()?;
//! let detector = HeadConfig::default().build(body, &FpnConfig { channels: 32, ..Default::default() }, 3)?;
//! let images = ImageBatch { pixels: Tensor::zeros([1, 3, 64, 96], (Kind::Float, Device::Cpu)), sizes: vec![[64, 80]] };
//!
//! let targets = [Target::new(&[[8.0, 8.0, 40.0, 48.0]], &[2])];
//! let losses = detector.losses(&mut Eager::train(), &images, &targets);
//! losses.total().backward();
//!
//! let found = detector.detect(&images);
//! assert!(found[0].boxes.iter().all(|b| b[2] <= 80.0), "boxes end with the image, not with its padding");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | [`detector`], [`decoder`], [`stage`] | all detectors as one type; their host part; their networks |
//! | [`model`] | what a detector's own module provides |
//! | [`types`] | batches, targets, losses, detections |
//! | [`retinanet`], [`fcos`] | the dense detectors, with and without anchors |
//! | [`rcnn`] | the detectors of two stages: Faster R-CNN, and with masks Mask R-CNN |
//! | [`fpn`], [`backbone_with_fpn`] | the feature pyramid; a backbone with a pyramid |
//! | [`label_map`] | which output of a head is which class |
//! | [`anchors`] | anchor boxes per pyramid level |
//! | [`box_coder`] | boxes as offsets from anchors, and back |
//! | [`matcher`] | which anchor is assigned to which object |
//! | [`nms`], [`postprocess`] | non-maximum suppression; its thresholds and limits |
//! | [`roi_align`] | features of a region on a fixed grid |
//! | [`losses`] | focal loss; L1, smooth L1 and GIoU losses of boxes |
//! | [`legacy_names`] | names of older torchvision checkpoints |

pub mod anchors;
pub mod backbone_with_fpn;
pub mod box_coder;
mod boxes;
pub mod decoder;
pub mod detector;
pub mod error;
pub mod fcos;
mod focal_on_card;
pub mod fpn;
mod host;
mod init;
pub mod label_map;
pub mod legacy_names;
pub mod losses;
pub mod matcher;
pub mod model;
pub mod nms;
mod picked;
pub mod postprocess;
pub mod rcnn;
pub mod retinanet;
pub mod roi_align;
pub mod stage;
pub mod types;

pub use backbone_with_fpn::BackboneWithFpn;
pub use box_coder::Corners;
pub use decoder::Decoder;
pub use detector::{Detector, HeadConfig};
pub use error::HeadError;
pub use fcos::{Fcos, FcosConfig};
pub use fpn::{ExtraLevels, FpnConfig};
pub use label_map::LabelMap;
pub use postprocess::PostprocessConfig;
pub use rcnn::{FasterRcnnConfig, MaskRcnnConfig, Rcnn};
pub use retinanet::{RetinaNet, RetinaNetConfig};
pub use stage::{DecodeError, Outputs, RegionShape, Regions, Stage};
pub use types::{CroppedMask, HostDetections, ImageBatch, Losses, Target};
