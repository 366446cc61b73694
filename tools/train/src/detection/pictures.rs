//! Sample pictures: ground truth beside prediction.

use std::path::Path;
use std::sync::Arc;

use repghost_coco::draw::{
    draw_objects, enlarge_image, enlarge_objects, enlargement, of_annotations, of_detections, truth_and_prediction, Style,
};
use repghost_coco::files::write_picture;
use repghost_coco::{Dataset, Source};

use super::infer::ImageDetections;
use crate::error::TrainError;

/// Images on a sheet.
const SHOWN: usize = 8;
/// Truth and prediction pairs in a row of a sheet.
const PAIRS: usize = 2;
/// Side of a picture on a sheet.
const CELL: u32 = 420;
/// Detections below this score are not drawn.
pub const SHOWN_SCORE: f64 = 0.3;

/// Draws some images of a data set, evenly spread, and writes the sheet; with `masks` those of the truth are shown too.
///
/// # Errors
/// Images that cannot be read, the disk's.
pub fn sheet(
    source: &Arc<dyn Source>,
    truth: &Dataset,
    found: &[ImageDetections],
    masks: bool,
    path: &Path,
) -> Result<(), TrainError> {
    let count = found.len().min(truth.len()).min(source.len());
    let shown = count.min(SHOWN);
    let mut images = Vec::with_capacity(shown);
    for i in (0..shown).map(|i| i * count / shown) {
        let (record, found) = (&truth.images[i], &found[i]);
        let original = source.load(i)?.image;
        let factor = enlargement(&original, CELL);
        let mut left = enlarge_image(&original, factor);
        let mut right = left.clone();
        let style = Style::for_size(left.width(), left.height());
        let mut objects = of_annotations(truth.annotations(i), &truth.classes, record.height, record.width);
        let mut detections = of_detections(&found.objects, &truth.classes, SHOWN_SCORE);
        if !masks {
            // What is not asked for would only hide what is.
            objects.iter_mut().for_each(|object| object.mask = None);
        }
        enlarge_objects(&mut objects, factor);
        enlarge_objects(&mut detections, factor);
        draw_objects(&mut left, &objects, &style);
        draw_objects(&mut right, &detections, &style);
        images.push((record.file_name.clone(), left, right));
    }
    let picture = truth_and_prediction(images, PAIRS, CELL);
    write_picture(path, &picture).map_err(TrainError::io(path))
}
