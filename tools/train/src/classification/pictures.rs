//! Images with the predicted and the true classes.

use std::path::Path;

use repghost_coco::draw::{contact_sheet, Tile};
use repghost_coco::files::write_picture;
use repghost_coco::Source;

use super::infer::ImageScores;
use crate::error::TrainError;

/// Images on a sheet.
const SHOWN: usize = 24;
/// Images in a row.
const COLUMNS: usize = 6;
/// Side of a picture on a sheet.
const CELL: u32 = 224;

/// Draws some images, wrong answers first and then evenly spread, and writes the sheet.
///
/// # Errors
/// Images that cannot be read, the disk's.
pub fn sheet(source: &dyn Source, scored: &[ImageScores], classes: &[String], path: &Path) -> Result<(), TrainError> {
    let (wrong, right): (Vec<usize>, Vec<usize>) =
        (0..scored.len().min(source.len())).partition(|&i| scored[i].top(1).first().copied() != scored[i].label);
    let half = spread(&wrong, SHOWN / 2);
    let rest = spread(&right, SHOWN - half.len());
    let tiles = half.into_iter().chain(rest).map(|i| {
        let s = &scored[i];
        let name = |label: Option<usize>| label.and_then(|l| classes.get(l)).cloned().unwrap_or_else(|| "?".into());
        let guess = s.top(1).first().copied();
        let probability = guess.map_or(0.0, |g| s.probabilities[g]);
        let truth = if guess == s.label { String::new() } else { format!(", is {}", name(s.label)) };
        Ok(Tile { image: source.load(i)?.image, caption: format!("{} {probability:.2}{truth}", name(guess)) })
    });
    let picture = contact_sheet(&tiles.collect::<Result<Vec<_>, TrainError>>()?, COLUMNS, CELL);
    write_picture(path, &picture).map_err(TrainError::io(path))
}

/// At most `count` of the items, evenly spread.
fn spread(items: &[usize], count: usize) -> Vec<usize> {
    let count = count.min(items.len());
    (0..count).map(|i| items[i * items.len() / count]).collect()
}
