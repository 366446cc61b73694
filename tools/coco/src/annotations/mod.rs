//! COCO annotation files: reading, classes, checks.
//!
//! The format is the one of the COCO data set (Lin et al., "Microsoft COCO: Common Objects in Context", 2014): one JSON
//! object with the lists `images`, `annotations` and `categories`. Three layers read it:
//!
//! - `raw` parses whatever the file holds, wrong types included, without losing a record;
//! - [`record`] turns one raw record into one typed record and names every [`Problem`] it meets;
//! - [`dataset`] assembles the records for training and evaluation, [`crate::check`] lists the problems for a person;
//! - `objects` keeps them in memory, or in a file that processes share.

pub mod classes;
mod coco80;
pub mod dataset;
pub mod error;
mod objects;
pub mod problem;
pub(crate) mod raw;
pub mod record;
pub mod rle;
pub mod segmentation;
pub mod suspicion;

pub use classes::{Class, ClassList, LabelMode};
pub use coco80::COCO_CATEGORIES;
pub use dataset::{Dataset, DatasetOptions, LoadReport, OnBadAnnotation, SampleAnnotations};
pub use error::AnnotationError;
pub use objects::{Index, IndexPlace};
pub use problem::{Finding, Problem, Severity};
pub use record::{Annotation, ImageRecord};
pub use rle::Rle;
pub use segmentation::Segmentation;
