//! What is exported: a detector, its backbone, or a classifier, with weights.

use std::path::Path;

use repghost_backbone::weights::{self, detect_form, load_any_form, Form, StateDict, Strictness};
use repghost_backbone::{Backbone, FuseLevel, Ops, Tree};
use repghost_heads::{Decoder, Detector, Outputs, Stage};
use repghost_train::checkpoint::file::published;
use repghost_train::detection::model::{ready_for_val, Class};
use repghost_train::error::TrainError;
use repghost_train::Experiment;
use tch::{Device, Kind};

use crate::error::ExportError;
use crate::spec::Part;

/// What all names of a detector's backbone start with.
const BODY: &str = "backbone.body.";

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
        _ => net.taps().iter().map(|t| format!("C{}", t.level)).zip(net.features(ops, x)).collect(),
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
}

/// Builds what `part` needs of the experiment's model and loads its weights.
///
/// # Errors
/// Files that are damaged or do not fit; parts that the model does not have.
pub fn load(e: &Experiment, path: &Path, part: Part) -> Result<Model, ExportError> {
    let _guard = tch::no_grad_guard();
    let model = match part {
        Part::Classifier => classifier(e, path)?,
        Part::Backbone => backbone(e, path)?,
        Part::Raw | Part::Detector => {
            let ready = ready_for_val(e, path)?;
            Model { network: Network::Detector(Box::new(ready.detector)), classes: ready.classes, form: ready.form }
        }
    };
    model.network.tree().convert(Device::Cpu, Kind::Float);
    Ok(model)
}

fn read(path: &Path) -> Result<StateDict, ExportError> {
    Ok(published(weights::read(path).map_err(TrainError::from)?))
}

fn backbone(e: &Experiment, path: &Path) -> Result<Model, ExportError> {
    let state = read(path)?;
    let form = detect_form(&state);
    if state.names().any(|n| n.starts_with(BODY)) {
        let body = ready_for_val(e, path)?.detector.into_body();
        return Ok(Model { network: Network::Backbone(Box::new(body)), classes: vec![], form });
    }
    let mut body = e.model.backbone.build_features().map_err(TrainError::from)?;
    load_any_form(&mut body, "", &state, Strictness::Covering).map_err(TrainError::from)?;
    Ok(Model { network: Network::Backbone(Box::new(body)), classes: vec![], form })
}

fn classifier(e: &Experiment, path: &Path) -> Result<Model, ExportError> {
    let state = read(path)?;
    let one = e.model.backbone.build_classifier(1).map_err(TrainError::from)?;
    // The last tensor of a network is its classifier's bias, one element a class.
    let last = one.named_tensors().pop().map_or_else(String::new, |t| t.name);
    let Some(bias) = state.get(&last) else {
        let why = format!("{} has no '{last}', so it holds no classifier of {}", path.display(), one.name);
        return Err(ExportError::part("classifier", why));
    };
    let classes = bias.size().first().copied().unwrap_or(1);
    let mut net = e.model.backbone.build_classifier(classes).map_err(TrainError::from)?;
    load_any_form(&mut net, "", &state, Strictness::Exact).map_err(TrainError::from)?;
    Ok(Model { network: Network::Backbone(Box::new(net)), classes: vec![], form: detect_form(&state) })
}
