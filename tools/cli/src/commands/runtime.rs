//! `--runtime`: what runs a detector.

use std::path::Path;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use repghost_export::engine_pool::EXTENSION;
use repghost_export::runtime::list::{by_name, of_files};
use repghost_export::runtime::{Runtime, REFERENCE, RUNTIMES};

use crate::bad_input::bad_input;

/// The runtime that takes weights as they are.
const LIBTORCH: &str = "libtorch";

/// Parses `--runtime`: libtorch, or what takes exported files.
pub fn parser() -> impl TypedValueParser<Value = &'static Runtime> {
    let libtorch = RUNTIMES.iter().copied().filter(|r| r.name == LIBTORCH);
    let values = libtorch.chain(of_files()).map(|r| PossibleValue::new(r.name).help(r.about));
    PossibleValuesParser::new(values).try_map(|name| by_name(&name).ok_or("no such runtime"))
}

/// The runtime for exported networks, or none for libtorch. Exported files run in onnxruntime by default.
pub fn choose(asked: Option<&'static Runtime>, weights: &Path) -> anyhow::Result<Option<&'static Runtime>> {
    let exported = weights.extension().is_some_and(|x| x == EXTENSION);
    match asked {
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
