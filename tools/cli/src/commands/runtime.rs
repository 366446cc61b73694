//! `--runtime`: what runs a detector.

use std::path::Path;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use repghost_export::engine_pool::{ExportedPool, EXTENSION};
use repghost_export::runtime::{Runtime, DESCRIPTIONS, REFERENCE, RUNTIMES};
use repghost_train::detection;
use repghost_train::engine::EnginePool;
use repghost_train::{Experiment, WeightsFile};

use crate::bad_input::bad_input;

/// The runtime that takes weights as they are.
const LIBTORCH: &str = "libtorch";

/// Name of a runtime. Arguments hold names, since what a runtime runs networks with needs libtorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeName(usize);

impl RuntimeName {
    /// The runtime.
    pub fn runtime(self) -> &'static Runtime {
        RUNTIMES[self.0]
    }
}

/// Parses `--runtime`: libtorch, or what takes exported files.
pub fn parser() -> impl TypedValueParser<Value = RuntimeName> {
    parser_of(|name, takes_files| takes_files || name == LIBTORCH)
}

/// Parses the name of any runtime.
pub fn parser_of_all() -> impl TypedValueParser<Value = RuntimeName> {
    parser_of(|_, _| true)
}

fn parser_of(allowed: fn(&str, bool) -> bool) -> impl TypedValueParser<Value = RuntimeName> {
    let values = DESCRIPTIONS.into_iter().filter(|d| allowed(d.name, d.takes_files));
    PossibleValuesParser::new(values.map(|d| PossibleValue::new(d.name).help(d.about)))
        .try_map(|name| DESCRIPTIONS.iter().position(|d| d.name == name).map(RuntimeName).ok_or("no such runtime"))
}

/// The runtime for exported networks, or none for libtorch. Exported files run in onnxruntime by default.
pub fn choose(asked: Option<RuntimeName>, weights: &Path) -> anyhow::Result<Option<&'static Runtime>> {
    let exported = is_exported(weights);
    match asked.map(RuntimeName::runtime) {
        Some(r) if r.name == LIBTORCH && exported => Err(bad_input(format!(
            "--runtime libtorch: {} is an exported file; give the weights that it was exported from, or --runtime onnxruntime",
            weights.display()
        ))),
        Some(r) if r.name == LIBTORCH => Ok(None),
        None if !exported => Ok(None),
        None => Ok(Some(REFERENCE)),
        Some(other) => Ok(Some(other)),
    }
}

/// Where classes come from for weights that name none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// `data.classes`, or numbers: no data is needed.
    OfWeights,
    /// The validation data, which detections are compared with.
    OfValidationData,
}

/// A detector in the runtime for exported networks, or without one in libtorch.
pub fn open(
    e: &Experiment,
    weights: &Path,
    runtime: Option<&'static Runtime>,
    classes: Classes,
) -> anyhow::Result<Box<dyn EnginePool>> {
    if let Some(runtime) = runtime.filter(|_| is_exported(weights)) {
        return Ok(Box::new(ExportedPool::of_file(e, weights, runtime)?));
    }
    let file = WeightsFile::read(weights)?;
    let loaded = match classes {
        Classes::OfWeights => detection::model::load(e, file)?,
        Classes::OfValidationData => detection::model::load_or_val_classes(e, file)?,
    };
    Ok(match runtime {
        Some(runtime) => Box::new(ExportedPool::of_detector(e, loaded, runtime)?),
        None => Box::new(detection::engine::LibtorchPool::new(e, loaded)),
    })
}

fn is_exported(weights: &Path) -> bool {
    weights.extension().is_some_and(|x| x == EXTENSION)
}
