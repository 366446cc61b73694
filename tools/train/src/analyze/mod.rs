//! What an experiment's network costs: parameters, multiply-adds, activation memory, part by part, unfused and fused.
//!
//! Measuring (here) returns data; [`report`] prints it.

pub mod report;

use repghost_backbone::cost::Cost;
use repghost_backbone::price::{self, Part, Price};
use repghost_backbone::{Backbone, BackboneConfig, FuseLevel, Role, Tree};
use repghost_heads::Detector;
use serde::Serialize;

use crate::config::{Experiment, HeadConfig, Task};
use crate::detection::model;
use crate::error::TrainError;

/// Classes of COCO: what a detector is priced with where nobody says how many there are.
const DETECTOR_CLASSES: usize = 80;
/// Classes of ImageNet.
const CLASSIFIER_CLASSES: usize = 1000;
/// The size that classifiers are compared at.
const CLASSIFIER_SIZE: i64 = 224;
/// Smaller images shrink to nothing on the way.
const MIN_SIDE: i64 = 33;
const MAX_SIDE: i64 = 16384;
/// A batch is padded to multiples of this before it enters a detector.
const PADDING: i64 = 32;

/// A part of a network in both forms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Stage of the backbone (`C2` holds the stem too) or path of a head.
    pub part: String,
    /// As it is trained.
    pub unfused: Price,
    /// With all branches and norms folded.
    pub fused: Price,
}

/// The price of one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Analysis {
    /// Network, head and what else decides the price.
    pub name: String,
    /// Height and width of the one image.
    pub size: [i64; 2],
    /// Number of classes.
    pub classes: usize,
    /// Parts, in order of execution.
    pub parts: Vec<Row>,
    /// Their sum.
    pub total: Row,
}

/// What the command line may set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Height and width; without it what evaluation uses for a landscape image, or 224 x 224 for classifiers.
    pub size: Option<[i64; 2]>,
    /// Number of classes; without it the experiment's list, or 80 for detectors and 1000 for classifiers.
    pub classes: Option<usize>,
}

/// Prices the network of an experiment. No data is read.
///
/// # Errors
/// Settings that make no network; sizes out of range.
pub fn experiment(e: &Experiment, options: &Options) -> Result<Analysis, TrainError> {
    let named = e.data.classes.as_ref().map(Vec::len);
    if e.task == Task::Classification {
        let classes = options.classes.or(named);
        return backbone(&e.model.backbone, &Options { classes, ..*options });
    }
    let classes = options.classes.or(named).unwrap_or(DETECTOR_CLASSES);
    let size = checked(options.size.unwrap_or_else(|| evaluation_size(e)))?;
    let mut detector = model::build(e, at_least_one(classes)?)?;
    let name = detector_name(e, &detector);
    let proposals = match &e.model.head {
        HeadConfig::MaskRcnn(c) => [c.rpn.post_nms_top_n_test as i64, e.eval.max_detections as i64],
        _ => [0; 2],
    };
    let unfused = detector_parts(&detector, size, proposals);
    detector.fuse(FuseLevel::All);
    Ok(Analysis::new(name, size, classes, unfused, detector_parts(&detector, size, proposals)))
}

/// Prices a classifier.
///
/// # Errors
/// Settings that make no network; sizes out of range.
pub fn backbone(config: &BackboneConfig, options: &Options) -> Result<Analysis, TrainError> {
    let classes = options.classes.unwrap_or(CLASSIFIER_CLASSES);
    let size = checked(options.size.unwrap_or([CLASSIFIER_SIZE; 2]))?;
    let mut net: Backbone = config.build(at_least_one(classes)? as i64)?;
    let unfused = price::backbone(&net, image(size));
    net.fuse(FuseLevel::All);
    Ok(Analysis::new(net.name.clone(), size, classes, unfused, price::backbone(&net, image(size))))
}

impl Analysis {
    fn new(name: String, size: [i64; 2], classes: usize, unfused: Vec<Part>, fused: Vec<Part>) -> Self {
        let price_in = |parts: &[Part], name: &str| parts.iter().find(|p| p.name == name).map_or(Price::default(), |p| p.price);
        let row = |part: &Part| Row { part: part.name.clone(), unfused: part.price, fused: price_in(&fused, &part.name) };
        let total = |parts: &[Part]| parts.iter().map(|p| p.price).sum();
        let total = Row { part: "total".into(), unfused: total(&unfused), fused: total(&fused) };
        Self { name, size, classes, parts: unfused.iter().map(row).collect(), total }
    }
}

fn image([height, width]: [i64; 2]) -> [i64; 4] {
    [1, 3, height, width]
}

fn checked(size: [i64; 2]) -> Result<[i64; 2], TrainError> {
    if size.iter().all(|side| (MIN_SIDE..=MAX_SIDE).contains(side)) {
        return Ok(size);
    }
    Err(TrainError::Config(format!("--size {},{}: expected two numbers from {MIN_SIDE} to {MAX_SIDE}", size[0], size[1])))
}

fn at_least_one(classes: usize) -> Result<usize, TrainError> {
    const MOST: usize = 1_000_000;
    match classes {
        1..=MOST => Ok(classes),
        _ => Err(TrainError::Config(format!("--classes {classes}: expected a number from 1 to {MOST}"))),
    }
}

/// The largest landscape image that evaluation makes, padded.
fn evaluation_size(e: &Experiment) -> [i64; 2] {
    let r = &e.data.augment.resize;
    let long = r.size.unwrap_or(r.max_size);
    let short = r.size.unwrap_or_else(|| r.min_sizes.iter().copied().max().unwrap_or(long)).min(long);
    [short, long].map(|side| (side as i64 + PADDING - 1) / PADDING * PADDING)
}

fn detector_name(e: &Experiment, detector: &Detector) -> String {
    let name = format!("{} on {}", e.model.head.name(), detector.backbone().body.name);
    match &e.model.head {
        HeadConfig::MaskRcnn(c) => {
            format!("{name}, {} proposals, {} masks", c.rpn.post_nms_top_n_test, e.eval.max_detections)
        }
        _ => name,
    }
}

/// Prices a detector on one image; the second stage of Mask R-CNN on `[proposals, masks]` regions.
fn detector_parts(detector: &Detector, size: [i64; 2], [proposals, masks]: [i64; 2]) -> Vec<Part> {
    let shape = image(size).to_vec();
    let mut cost = Cost::default();
    match detector {
        Detector::RetinaNet(d) => {
            d.raw(&mut cost, &shape);
        }
        Detector::MaskRcnn(d) => {
            let channels = d.backbone.fpn.channels();
            d.stage_one(&mut cost, &shape);
            let [boxes, mask] = [d.config().box_head.pool, d.config().mask_head.pool].map(|side| side as i64);
            d.box_stage(&mut cost, &vec![proposals, channels, boxes, boxes]);
            d.mask_stage(&mut cost, &vec![masks, channels, mask, mask]);
        }
    }
    let mut parts = price::backbone(&detector.backbone().body, image(size));
    let body = parts.len();
    for row in &cost.rows {
        if let Some(name) = section(&row.path) {
            part(&mut parts, body, &name).price += Price::of_rows([row]);
        }
    }
    for entry in detector.named_tensors().iter().filter(|e| e.role == Role::Parameter) {
        if let Some(name) = section(&entry.name) {
            part(&mut parts, body, &name).price.parameters += entry.tensor.numel() as i64;
        }
    }
    parts
}

/// The part behind the backbone that a path belongs to, by its first two names; none for the backbone's own paths.
fn section(path: &str) -> Option<String> {
    let mut names = path.splitn(3, '.');
    match (names.next(), names.next()) {
        (Some("backbone"), Some("body")) => None,
        (Some("backbone"), second) => Some(second.unwrap_or("backbone").into()),
        (Some(first), Some(second)) => Some(format!("{first}.{second}")),
        (first, _) => first.map(String::from),
    }
}

/// The part called `name` behind the first `body` ones.
fn part<'a>(parts: &'a mut Vec<Part>, body: usize, name: &str) -> &'a mut Part {
    let at = parts[body..].iter().position(|p| p.name == name).map(|i| body + i).unwrap_or_else(|| {
        parts.push(Part { name: name.into(), price: Price::default() });
        parts.len() - 1
    });
    &mut parts[at]
}
