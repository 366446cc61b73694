//! Weights by name: where they are, and how they get there.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::checksum::Checksum;
use crate::environment::{Environment, OFFLINE};
use crate::error::HubError;
use crate::hub_cache::{self, HubFile};
use crate::progress::Progress;
use crate::reference::{Place, Reference};
use crate::torch_cache;

/// Where a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The cache of `huggingface_hub`.
    HubCache,
    /// The folder of `torch.hub`.
    TorchCache,
    /// A server, just now.
    Fetched,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::HubCache => "from the cache of huggingface_hub",
            Self::TorchCache => "from the cache of torch.hub",
            Self::Fetched => "fetched",
        })
    }
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Where it comes from.
    pub place: Origin,
}

/// What to do with a damaged file of a cache.
const DAMAGED: &str = "the file is damaged; remove it, and it is fetched anew";

/// Looks into the caches. Nothing is fetched, and nothing is compared.
pub fn find(reference: &Reference, environment: &Environment) -> Option<Found> {
    match &reference.place {
        Place::Hub { .. } => hub_file(reference)?.find(environment).map(|path| Found { path, place: Origin::HubCache }),
        Place::Torch { file } => torch_cache::find(environment, file).map(|path| Found { path, place: Origin::TorchCache }),
    }
}

/// Compares a file of a cache with its checksum.
///
/// # Errors
/// [`HubError::Checksum`].
pub fn verify(reference: &Reference, path: &Path) -> Result<(), HubError> {
    let stated = reference.entry.and_then(|entry| entry.sha256.clone()).map(Checksum::Sha256);
    let of_place = || match &reference.place {
        Place::Hub { .. } => hub_cache::checksum(path),
        Place::Torch { file } => Checksum::of_torch_name(file),
    };
    match stated.or_else(of_place) {
        Some(checksum) => checksum.verify(path, DAMAGED),
        None => Ok(()),
    }
}

/// The file of a name: from a cache, or fetched into it. Either way it was compared with its checksum.
///
/// # Errors
/// [`HubError::Offline`] where nothing may be fetched; no connection; a file that is not what was published.
pub fn fetch(reference: &Reference, environment: &Environment, progress: &mut dyn Progress) -> Result<Found, HubError> {
    if let Some(found) = find(reference, environment) {
        verify(reference, &found.path)?;
        return Ok(found);
    }
    if environment.offline {
        return Err(HubError::Offline {
            name: reference.name.clone(),
            looked: looked(reference, environment),
            variable: OFFLINE,
        });
    }
    let path = match (&reference.place, hub_file(reference)) {
        (Place::Torch { file }, _) => torch_cache::fetch(environment, file, reference.entry, progress)?,
        (Place::Hub { .. }, Some(file)) => file.fetch(environment, progress)?,
        (Place::Hub { .. }, None) => return Err(HubError::Malformed { name: reference.name.clone() }),
    };
    // The hub's own checksum was compared already; the table's is the stronger one.
    verify(reference, &path)?;
    Ok(Found { path, place: Origin::Fetched })
}

/// The folder in which a name's file is looked for.
pub fn looked(reference: &Reference, environment: &Environment) -> PathBuf {
    hub_file(reference).map_or_else(|| environment.torch_checkpoints.clone(), |file| file.folder(environment))
}

fn hub_file(reference: &Reference) -> Option<HubFile<'_>> {
    match &reference.place {
        Place::Hub { repository, file, revision } => Some(HubFile { repository, file, revision, what: &reference.name }),
        Place::Torch { .. } => None,
    }
}
