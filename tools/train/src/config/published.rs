//! Weights that experiments and commands name: a file, or a published name that is looked up and fetched.

use std::path::{Path, PathBuf};

use repghost_hub::{weights, Bar, Environment, HubError, Reference};

/// The file of a published name (`timm/repghostnet_130.in1k`, `hf:ORG/NAME/FILE`), from a cache or fetched; `None` where `path` is no such
/// name. A file that is there is never taken for a name.
///
/// # Errors
/// A name that nobody published, no connection, a damaged file.
pub fn published(path: &Path) -> Result<Option<PathBuf>, HubError> {
    let Some(text) = path.to_str().filter(|_| !path.exists()) else { return Ok(None) };
    let Some(reference) = Reference::parse(text)? else { return Ok(None) };
    let mut progress = Bar::new(!tracing::enabled!(tracing::Level::INFO));
    let found = weights::fetch(&reference, &Environment::from_variables(), &mut progress)?;
    tracing::info!("{reference}: {} {}", found.path.display(), found.place);
    Ok(Some(found.path))
}
