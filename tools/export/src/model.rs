//! What is exported: a detector, its backbone, or a classifier, with weights.

use std::path::Path;

use repghost_backbone::weights::Form;
use repghost_backbone::{Backbone, FuseLevel, Ops, Tree};
use repghost_heads::{Decoder, Detector, Outputs, Stage};
use repghost_train::classification::model as classification;
use repghost_train::detection::model::{self as detection, LoadedDetector};
use repghost_train::model::Class;
use repghost_train::{Experiment, WeightsFile};
use tch::{Device, Kind};

use crate::error::ExportError;
use crate::spec::Part;

/// A network.
#[derive(Debug)]
pub enum Network {
    /// A backbone, with or without its classifier.
    Backbone(Box<Backbone>),
    /// A detector.
    Detector(Box<Detector>),
}

impl Network {
    /// Its tensors.
    pub fn tree(&self) -> &dyn Tree {
        match self {
            Self::Backbone(b) => b.as_ref(),
            Self::Detector(d) => d.as_ref(),
        }
    }

    /// Folds branches and batch norms.
    pub fn fuse(&mut self) {
        match self {
            Self::Backbone(b) => b.fuse(FuseLevel::All),
            Self::Detector(d) => d.fuse(FuseLevel::All),
        }
    }

    /// The value of `model.head.name`, or the backbone's name.
    pub fn name(&self) -> String {
        match self {
            Self::Backbone(b) => b.name.clone(),
            Self::Detector(d) => d.name().into(),
        }
    }

    /// The networks that it consists of.
    pub fn stages(&self) -> Vec<Stage> {
        match self {
            Self::Backbone(_) => vec![Stage::Image],
            Self::Detector(d) => d.stages(),
        }
    }

    /// What turns a detector's raw outputs into detections.
    pub fn decoder(&self) -> Option<Decoder> {
        match self {
            Self::Backbone(_) => None,
            Self::Detector(d) => Some(d.decoder()),
        }
    }

    /// Named outputs of a stage, as the files of `part` have them.
    pub fn run_stage<O: Ops>(&self, part: Part, stage: &Stage, ops: &mut O, x: &O::Value) -> Outputs<O::Value> {
        match self {
            Self::Backbone(b) => backbone_outputs(b, part, ops, x),
            Self::Detector(d) => d.run_stage(stage, ops, x),
        }
    }
}

/// Class logits, or the tapped features `C2` … by level.
pub fn backbone_outputs<O: Ops>(net: &Backbone, part: Part, ops: &mut O, x: &O::Value) -> Outputs<O::Value> {
    match part {
        Part::Classifier => vec![("logits".into(), net.classify(ops, x))],
        _ => net.tap_names().into_iter().zip(net.features(ops, x)).collect(),
    }
}

/// A network with its weights, on the CPU.
#[derive(Debug)]
pub struct Model {
    /// The network, in the form of the file's weights.
    pub network: Network,
    /// A detector's classes, by label.
    pub classes: Vec<Class>,
    /// The form of the weights.
    pub form: Form,
    /// Scores, by class, below which a detector file hides what it finds; empty where it hides nothing.
    pub cutoffs: Vec<f64>,
}

/// Builds what `part` needs of the experiment's model and loads its weights.
///
/// # Errors
/// Files that are damaged or do not fit; parts that the model does not have.
pub fn load(e: &Experiment, path: &Path, part: Part) -> Result<Model, ExportError> {
    let _guard = tch::no_grad_guard();
    let file = WeightsFile::read(path)?;
    let form = file.form();
    let net = match part {
        Part::Classifier => classifier(e, file)?,
        Part::Backbone => backbone(e, file)?,
        Part::Raw | Part::Detector => return Ok(detection::load(e, file)?.into()),
    };
    net.convert(Device::Cpu, Kind::Float);
    Ok(Model { network: Network::Backbone(Box::new(net)), classes: vec![], form, cutoffs: vec![] })
}

impl From<LoadedDetector> for Model {
    fn from(loaded: LoadedDetector) -> Self {
        let LoadedDetector { detector, classes, form, .. } = loaded;
        detector.convert(Device::Cpu, Kind::Float);
        Self { network: Network::Detector(Box::new(detector)), classes, form, cutoffs: vec![] }
    }
}

fn backbone(e: &Experiment, file: WeightsFile) -> Result<Backbone, ExportError> {
    if file.is_detector() {
        return Ok(detection::load(e, file)?.detector.into_body());
    }
    Ok(repghost_train::features::backbone(e, &file)?)
}

fn classifier(e: &Experiment, file: WeightsFile) -> Result<Backbone, ExportError> {
    Ok(classification::load(e, file, |count| Ok(classification::numbers(count)))?.net)
}
