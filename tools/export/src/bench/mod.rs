//! What networks cost on this machine: model × form × runtime × batch × threads.
//!
//! | module | what is in it |
//! |---|---|
//! | [`plan`] | what is timed, from a YAML file or from the command line |
//! | [`timing`] | times of a network in one runtime |
//! | [`measure`] | rounds in which all variants take turns, one live session at a time |
//! | [`stats`], [`outcome`] | median, mean, 95th percentile; the rows of a benchmark |
//! | [`report`] | Markdown, CSV, JSON, picture |
//! | [`detectors`], [`detector_report`] | whole detectors on images, end to end and the network alone |
//! | [`concat_add`] | the RepGhost paper's figures 1 and 2 |
//! | [`tensorrt`] | trtexec |
//!
//! Measuring returns data; printing is elsewhere.

pub mod concat_add;
pub mod detector_report;
pub mod detectors;
pub mod measure;
pub mod outcome;
pub mod plan;
pub mod report;
pub mod stats;
pub mod tensorrt;
pub mod timing;
