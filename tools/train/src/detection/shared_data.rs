//! One annotation file for all processes of a machine.
//!
//! The first process of each machine parses it and writes an index ([`Index`]); the others, and itself from then on, read objects from that. A
//! process that finds no index parses the file: so errors are those of a process alone.

use std::path::PathBuf;

use repghost_coco::annotations::{AnnotationError, Index, IndexPlace};
use repghost_coco::{Dataset, DatasetOptions, Place};
use repghost_distributed::Group;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::runtime::host;

/// What the first process of a machine has for the others.
#[derive(Debug, Serialize, Deserialize)]
struct Offer {
    /// Name of the machine: where machines share the folder for temporary files, each takes its own index, since what another machine removes is
    /// gone.
    host: String,
    index: IndexPlace,
    /// The folder of the images, as [`Dataset::open`] returns it.
    images: Option<PathBuf>,
}

type Opened = (Dataset, Option<PathBuf>);

/// [`Dataset::open`] by the processes of a group. All have to call it.
///
/// # Errors
/// As there; processes that are gone.
pub(super) fn open(place: &Place, options: &DatasetOptions, group: &Group) -> Result<Opened, TrainError> {
    if group.each(group.local_rank() as f64)?.iter().all(|rank| *rank == 0.0) {
        return Ok(Dataset::open(place, options)?);
    }
    let own = (group.local_rank() == 0).then(|| Dataset::open(place, options));
    let written = own.as_ref().and_then(written);
    let offer = written.as_ref().map(|(index, images)| Offer { host: host(), index: index.place(), images: images.clone() });
    let json = |source| TrainError::Json { what: "the place of an index", source };
    let offers = group.gather(&serde_json::to_vec(&offer).map_err(json)?)?;
    let offers: Vec<Option<Offer>> =
        offers.iter().map(|bytes| serde_json::from_slice(bytes)).collect::<Result<_, _>>().map_err(json)?;
    // Containers may share a name: those of other machines cannot be opened from here, or are other files.
    let found = offers
        .into_iter()
        .flatten()
        .filter(|offer| offer.host == host())
        .find_map(|offer| Some((Dataset::from_index(&offer.index).ok()?, offer.images)));
    // Whoever wrote an index removes it once all have opened theirs.
    group.barrier()?;
    match (own, found) {
        // The process that parsed the file has what was left out and what looks wrong.
        (Some(own), found) => {
            let (mut dataset, images) = own?;
            if let Some((mut shared, _)) = found {
                shared.report = std::mem::take(&mut dataset.report);
                dataset = shared;
            }
            Ok((dataset, images))
        }
        (None, Some(found)) => Ok(found),
        (None, None) => Ok(Dataset::open(place, options)?),
    }
}

/// The index of what was opened; `None`, with a warning, where the disk fails.
fn written(opened: &Result<Opened, AnnotationError>) -> Option<(Index, Option<PathBuf>)> {
    let (dataset, images) = opened.as_ref().ok()?;
    match Index::write(dataset) {
        Ok(index) => Some((index, images.clone())),
        Err(error) => {
            let folder = std::env::temp_dir();
            tracing::warn!(
                "{}: the annotations' index cannot be written ({error}): each process reads the file itself",
                folder.display()
            );
            None
        }
    }
}
