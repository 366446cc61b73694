//! A look at a split's image files before the first step: files that are missing, damaged or of another size than their annotations are
//! found in seconds, not in the middle of an epoch.

use std::collections::HashSet;
use std::sync::Arc;

use repghost_coco::annotations::{Problem, Severity};
use repghost_coco::check::{check_images, ImageCheck};
use repghost_coco::{CocoSource, OnUnreadableImage};

use super::data::{wants_masks, SplitData};
use crate::config::data_paths::Split;
use crate::config::Experiment;
use crate::error::TrainError;

/// Most images whose headers are read; of more, so many that are evenly spread. (COCO's validation set has 5000.)
const HEADERS: usize = 5000;
/// Most images that are decoded, where some are known to be unreadable.
const DECODED: usize = 2000;
/// Images named in a message at most.
const SHOWN: usize = 3;

/// The split, looked at: with `data.on_unreadable_image: skip` without the images that cannot be used, which a note counts and names.
///
/// # Errors
/// Images that cannot be used, without `skip`; no image left.
pub fn looked_at(e: &Experiment, split: Split, mut data: SplitData) -> Result<SplitData, TrainError> {
    let Some(root) = data.root.clone() else { return Ok(data) };
    let (images, what) = (&data.dataset.images, format!("data.{}", split.key()));
    let skip = e.data.on_unreadable_image == OnUnreadableImage::Skip;
    // In training the loader passes over what only decoding shows.
    let how = if skip && split == Split::Val && images.len() <= DECODED { ImageCheck::Decode } else { ImageCheck::Header };
    let step = images.len().div_ceil(HEADERS).max(1);
    let found = check_images(&root, images, step, how, &e.data.decode());

    let turned = found.iter().filter(|(_, problem)| matches!(problem, Problem::Orientation(_))).count();
    if turned > 0 {
        data.notes.push(format!(
            "warning: {what}: {turned} images have an EXIF orientation; their pixels are taken as stored, as COCO has it \
             (data.apply_exif=true turns them)"
        ));
    }
    let dark = found.iter().filter(|(_, problem)| matches!(problem, Problem::Dark(_))).count();
    if dark > 0 {
        data.notes.push(format!("warning: {what}: {dark} images of 16 bits per sample are nearly black in 8 bits; rescale them"));
    }
    let bad: Vec<&(usize, Problem)> = found.iter().filter(|(_, problem)| problem.severity() == Severity::Error).collect();
    if bad.is_empty() {
        return Ok(data);
    }
    let named = bad.iter().take(SHOWN).map(|(i, problem)| format!("{}: {problem}", images[*i].file_name));
    let more = if bad.len() > SHOWN { "; …" } else { "" };
    let first = named.collect::<Vec<_>>().join("; ") + more;
    let (count, total) = (bad.len(), images.len());
    if !skip {
        return Err(TrainError::BadImages { what, count, total, first });
    }
    data.notes.push(format!("warning: {what}: {count} of {total} images cannot be used and are left out ({first})"));
    let unreadable: HashSet<usize> = bad.iter().map(|(i, _)| *i).collect();
    let dataset = Arc::new(data.dataset.as_ref().clone().without(&unreadable)?);
    data.source = Arc::new(CocoSource::new(dataset.clone(), root, e.data.decode(), wants_masks(e)));
    data.dataset = dataset;
    Ok(data)
}
