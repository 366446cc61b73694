//! What an experiment's network costs: parameters, multiply-adds, activation memory, part by part, unfused and fused.
//!
//! Measuring (here) returns data; [`report`] prints it.

pub mod report;

use repghost_backbone::complexity::{self, ModelCost, Part};
use repghost_backbone::cost::Cost;
use repghost_backbone::{Backbone, BackboneConfig, FuseLevel, Role, Tree};
use repghost_heads::{Detector, Stage};
use serde::Serialize;

use crate::config::{Experiment, Task};
use crate::detection::model;
use crate::error::TrainError;

/// Classes of COCO: what a detector is counted with where the number is not given.
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
    pub unfused: ModelCost,
    /// With all branches and norms folded.
    pub fused: ModelCost,
}

/// The complexity of one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Analysis {
    /// Network, head and what else decides it.
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

/// Counts the network of an experiment. No data is read.
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
    let name = detector_name(&detector);
    let unfused = detector_parts(&detector, size);
    detector.fuse(FuseLevel::All);
    Ok(Analysis::new(name, size, classes, unfused, detector_parts(&detector, size)))
}

/// Counts a classifier.
///
/// # Errors
/// Settings that make no network; sizes out of range.
pub fn backbone(config: &BackboneConfig, options: &Options) -> Result<Analysis, TrainError> {
    let classes = options.classes.unwrap_or(CLASSIFIER_CLASSES);
    let size = checked(options.size.unwrap_or([CLASSIFIER_SIZE; 2]))?;
    let mut net: Backbone = config.build_classifier(at_least_one(classes)? as i64)?;
    let unfused = complexity::of_backbone(&net, image(size));
    net.fuse(FuseLevel::All);
    Ok(Analysis::new(net.name.clone(), size, classes, unfused, complexity::of_backbone(&net, image(size))))
}

impl Analysis {
    fn new(name: String, size: [i64; 2], classes: usize, unfused: Vec<Part>, fused: Vec<Part>) -> Self {
        let cost_in = |parts: &[Part], name: &str| parts.iter().find(|p| p.name == name).map_or(ModelCost::default(), |p| p.cost);
        let row = |part: &Part| Row { part: part.name.clone(), unfused: part.cost, fused: cost_in(&fused, &part.name) };
        let total = |parts: &[Part]| parts.iter().map(|p| p.cost).sum();
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
    let problem = format!("found {},{}, expected two numbers from {MIN_SIDE} to {MAX_SIDE}", size[0], size[1]);
    Err(TrainError::Argument { field: "size", problem })
}

fn at_least_one(classes: usize) -> Result<usize, TrainError> {
    const MOST: usize = 1_000_000;
    match classes {
        1..=MOST => Ok(classes),
        _ => Err(TrainError::Argument {
            field: "classes",
            problem: format!("found {classes}, expected a number from 1 to {MOST}"),
        }),
    }
}

/// The largest landscape image that evaluation makes, padded.
fn evaluation_size(e: &Experiment) -> [i64; 2] {
    let r = &e.data.augment.resize;
    let long = r.size.unwrap_or(r.max_size);
    let short = r.size.unwrap_or_else(|| r.min_sizes.iter().copied().max().unwrap_or(long)).min(long);
    [short, long].map(|side| (side as i64 + PADDING - 1) / PADDING * PADDING)
}

/// Head, backbone, and how many regions the stages that read regions are counted with.
fn detector_name(detector: &Detector) -> String {
    let mut name = format!("{} on {}", detector.name(), detector.backbone().body.name);
    for stage in detector.stages() {
        match stage {
            Stage::Image => {}
            Stage::Boxes(regions) => name += &format!(", {} proposals", regions.per_image),
            Stage::Masks(regions) => name += &format!(", {} masks", regions.per_image),
        }
    }
    name
}

/// Counts a detector on one image; stages that read regions on as many as there can be.
fn detector_parts(detector: &Detector, size: [i64; 2]) -> Vec<Part> {
    let mut cost = Cost::default();
    for stage in detector.stages() {
        let shape = stage.regions().map_or(image(size), |regions| regions.of(regions.per_image));
        detector.run_stage(&stage, &mut cost, &shape.to_vec());
    }
    let mut parts = complexity::of_backbone(&detector.backbone().body, image(size));
    let body = parts.len();
    for row in &cost.rows {
        if let Some(name) = section(&row.path) {
            part(&mut parts, body, &name).cost += ModelCost::of_rows([row]);
        }
    }
    for entry in detector.named_tensors().iter().filter(|e| e.role == Role::Parameter) {
        if let Some(name) = section(&entry.name) {
            part(&mut parts, body, &name).cost.parameters += entry.tensor.numel() as i64;
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
        parts.push(Part { name: name.into(), cost: ModelCost::default() });
        parts.len() - 1
    });
    &mut parts[at]
}
