//! What the network will see: augmented samples with their objects, on one sheet.
//!
//! Most mistakes in a data set or in an augmentation (swapped coordinates, a wrong EXIF turn, boxes that slip off their
//! objects) are seen at a glance here and nowhere else.

use image::RgbImage;

use crate::annotations::ClassList;
use crate::draw::{colour, contact_sheet, draw_objects, DrawnObject, Style, Tile};
use crate::error::DataError;
use crate::loader::Loader;
use crate::resize::{resize, Filter};
use crate::sample::Sample;

/// Which samples, and how the sheet is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowseOptions {
    /// The epoch whose augmentation is shown.
    pub epoch: usize,
    /// Position of the first picture in the loader's order of that epoch.
    pub first: usize,
    /// Pictures at most.
    pub count: usize,
    /// Pictures in a row.
    pub columns: usize,
    /// Side of a picture in pixels at most.
    pub cell: u32,
}

impl Default for BrowseOptions {
    fn default() -> Self {
        Self { epoch: 0, first: 0, count: 16, columns: 4, cell: 400 }
    }
}

/// A sheet of samples in the order in which an epoch brings them, each with its file name, size and number of objects (or, of an image
/// folder, its class) above.
///
/// # Errors
/// Where an image cannot be read, or `first` lies beyond the last image.
pub fn browse(loader: &Loader, classes: &ClassList, options: &BrowseOptions) -> Result<RgbImage, DataError> {
    let order = loader.order(options.epoch);
    let wanted = order.iter().skip(options.first).take(options.count.max(1));
    let tiles =
        wanted.map(|&index| Ok(tile(loader.sample(options.epoch, index)?, classes))).collect::<Result<Vec<_>, DataError>>()?;
    if tiles.is_empty() {
        return Err(DataError::NoSuchSample { index: options.first, len: order.len() });
    }
    Ok(contact_sheet(&tiles, options.columns, options.cell))
}

fn tile(mut sample: Sample, classes: &ClassList) -> Tile {
    let [width, height] = sample.size();
    if sample.pending.take().is_some() {
        sample.image = resize(&sample.image, width, height, Filter::Bilinear);
    }
    let objects = drawn(&sample, classes);
    draw_objects(&mut sample.image, &objects, &Style::for_size(width as u32, height as u32));
    let content = match (sample.target.boxes.is_empty(), sample.target.labels.first()) {
        (true, Some(label)) => classes.name(*label),
        _ => objects.len().to_string(),
    };
    Tile { image: sample.image, caption: format!("{}  {width}x{height}  {content}", sample.target.file_name) }
}

/// The objects of an augmented sample as drawn objects.
pub fn drawn(sample: &Sample, classes: &ClassList) -> Vec<DrawnObject> {
    let masks = sample.target.masks.as_deref().unwrap_or_default();
    let objects = sample.target.boxes.iter().zip(&sample.target.labels).enumerate();
    let one = |(number, (bbox, label)): (usize, (&[f32; 4], &i64))| DrawnObject {
        bbox: *bbox,
        text: classes.name(*label),
        // Instances of one class have the class' colour in common.
        colour: colour(if classes.len() > 1 { usize::try_from(*label).unwrap_or(0) } else { number }),
        mask: masks.get(number).cloned(),
    };
    objects.map(one).collect()
}
