//! An image folder out of a detection set's boxes: `folder/CLASS/IMAGE_ID.png`.
//!
//! Detection sets are easier to come by than classification sets, and what a detector confuses is best studied on crops. Crowds and
//! boxes without area are left out, as in training; boxes are clipped to their image.
//!
//! A folder is marked until it is whole ([`crate::unfinished`]): what was interrupted goes on where it was, and does not train before.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ImageEncoder, RgbImage};
use rayon::prelude::*;

use crate::annotations::{Dataset, ImageRecord};
use crate::decode::{read_image, resolve, DecodeConfig};
use crate::error::DataError;
use crate::files::write_atomic;
use crate::sample::{crop, Window};
use crate::types::BoxXyxy;
use crate::unfinished::Unfinished;

/// How boxes are cut out.
#[derive(Clone, Debug, PartialEq)]
pub struct CropOptions {
    /// Border around the box, as a share of its longer side.
    pub margin: f64,
    /// Boxes whose shorter side is below this many pixels are left out.
    pub min_size: f64,
    /// Widen the shorter side to the longer one, so that no resize distorts or cuts the object (as far as the image reaches).
    pub square: bool,
}

impl Default for CropOptions {
    fn default() -> Self {
        Self { margin: 0.1, min_size: 8.0, square: true }
    }
}

/// What [`write_crops`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CropsWritten {
    /// Each class's folder below the one that was given, with the number of crops, in the order of the labels. Without a crop there is none.
    pub classes: Vec<(String, usize)>,
    /// Boxes below the least size.
    pub too_small: usize,
}

/// Cuts every object of a data set out of its image. `progress` gets the numbers of images done and images in all.
///
/// # Errors
/// Options out of range, a folder that is not empty (but for what the same call has begun there), class names that give two folders one name, images that cannot be read, files that
/// cannot be written.
pub fn write_crops(
    dataset: &Dataset,
    images: &Path,
    folder: &Path,
    options: &CropOptions,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<CropsWritten, DataError> {
    options.validate()?;
    let names = folder_names(dataset)?;
    let mark = Unfinished::begin(folder, &recipe(dataset, images, &names, options))?;
    let done = AtomicUsize::new(0);
    let one = |i: usize| {
        let counted = crops_of_image(dataset, i, images, folder, &names, options)?;
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, dataset.len());
        Ok(counted)
    };
    let all: Vec<(Vec<usize>, usize)> = (0..dataset.len()).into_par_iter().map(one).collect::<Result<_, DataError>>()?;
    mark.complete()?;
    let count = |class: usize| all.iter().map(|(labels, _)| labels.iter().filter(|l| **l == class).count()).sum();
    Ok(CropsWritten {
        classes: names.iter().enumerate().map(|(i, name)| (name.clone(), count(i))).collect(),
        too_small: all.iter().map(|(_, small)| small).sum(),
    })
}

/// What the folder will hold: the same text for the same crops.
fn recipe(dataset: &Dataset, images: &Path, names: &[String], options: &CropOptions) -> String {
    let objects: usize = (0..dataset.len()).map(|i| dataset.annotations(i).len()).sum();
    format!(
        "annotations: {:?}\nimages: {images:?}\ncounts: {} images, {objects} objects\nclasses: {names:?}\noptions: {options:?}\n",
        dataset.path,
        dataset.len(),
    )
}

/// Positions in the class list of the crops written, and the number of boxes left out.
fn crops_of_image(
    dataset: &Dataset,
    index: usize,
    images: &Path,
    folder: &Path,
    names: &[String],
    options: &CropOptions,
) -> Result<(Vec<usize>, usize), DataError> {
    let record = &dataset.images[index];
    let objects: Vec<_> = dataset.training_objects(index).collect();
    if objects.is_empty() {
        return Ok((vec![], 0));
    }
    let mut image = None;
    let stem = Path::new(&record.file_name).with_extension("").to_string_lossy().replace(['/', '\\'], "_");
    let (mut written, mut too_small) = (vec![], 0);
    let mut earlier = HashMap::new();
    for (annotation, bbox) in objects {
        let side = |a: f32, b: f32| f64::from(b - a);
        if side(bbox[0], bbox[2]).min(side(bbox[1], bbox[3])) < options.min_size {
            too_small += 1;
            continue;
        }
        let class = dataset.classes.iter().position(|c| c.category_id == annotation.category_id);
        let Some((class, name)) = class.and_then(|i| Some((i, names.get(i)?))) else { continue };
        written.push(class);
        let path = folder.join(name).join(picture(&stem, annotation.id, &mut earlier));
        // From an interrupted call; files are whole or not there.
        if path.is_file() {
            continue;
        }
        let image = match &image {
            Some(image) => image,
            None => image.insert(read_whole(images, record)?),
        };
        let part = crop(image, options.window(bbox, [record.width as usize, record.height as usize]));
        png(&part).and_then(|bytes| write_atomic(&path, &bytes)).map_err(|source| DataError::Write { path, source })?;
    }
    Ok((written, too_small))
}

/// An image of the size that the annotations give.
fn read_whole(images: &Path, record: &ImageRecord) -> Result<RgbImage, DataError> {
    let path = resolve(images, &record.file_name)?;
    let image = read_image(&path, &DecodeConfig::default())?;
    let (found, expected) = ([image.width(), image.height()], [record.width, record.height]);
    match found == expected {
        true => Ok(image),
        false => Err(DataError::SizeMismatch { path, found, expected, hint: "" }),
    }
}

impl CropOptions {
    fn validate(&self) -> Result<(), DataError> {
        const MOST_MARGIN: f64 = 4.0;
        if !(0.0..=MOST_MARGIN).contains(&self.margin) {
            return Err(DataError::config("margin", format!("expected a number from 0 to {MOST_MARGIN}, found {}", self.margin)));
        }
        if !(self.min_size.is_finite() && self.min_size >= 0.0) {
            return Err(DataError::config("min-size", format!("expected pixels, 0 or more, found {}", self.min_size)));
        }
        Ok(())
    }

    /// Whole pixels around a box within an image of this width and height.
    fn window(&self, [x1, y1, x2, y2]: BoxXyxy, size: [usize; 2]) -> Window {
        let (centre, sides) = ([(x1 + x2) / 2.0, (y1 + y2) / 2.0].map(f64::from), [x2 - x1, y2 - y1].map(f64::from));
        let border = 2.0 * self.margin * sides[0].max(sides[1]);
        let sides = if self.square { [sides[0].max(sides[1]); 2] } else { sides };
        let span = |axis: usize| {
            let half = (sides[axis] + border) / 2.0;
            let low = (centre[axis] - half).floor().max(0.0) as usize;
            let high = ((centre[axis] + half).ceil().max(1.0) as usize).min(size[axis]);
            (low.min(high.saturating_sub(1)), high)
        };
        let ((left, right), (top, bottom)) = (span(0), span(1));
        Window { x: left, y: top, width: right - left, height: bottom - top }
    }
}

/// File name of an object's picture. Ids should be unique in a file; where they are not, the later objects of an image get a number more.
fn picture(stem: &str, id: i64, earlier: &mut HashMap<i64, usize>) -> String {
    let count = earlier.entry(id).or_insert(0);
    *count += 1;
    match *count {
        1 => format!("{stem}_{id}.png"),
        n => format!("{stem}_{id}_{n}.png"),
    }
}

/// A folder name for each class. What would leave the folder or hide it becomes an underscore.
fn folder_names(dataset: &Dataset) -> Result<Vec<String>, DataError> {
    let mut names: Vec<String> = vec![];
    for class in dataset.classes.iter() {
        let mut name: String = class.name.chars().map(|c| if c.is_control() || r#"/\:"#.contains(c) { '_' } else { c }).collect();
        if name.starts_with('.') || name.trim().is_empty() {
            name = format!("_{name}");
        }
        if names.contains(&name) {
            let reason = format!("the folder {name:?} would hold two classes; rename one of them in the annotation file");
            return Err(DataError::Folder { path: dataset.path.clone(), reason });
        }
        names.push(name);
    }
    Ok(names)
}

fn png(image: &RgbImage) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(image.as_raw(), image.width(), image.height(), image::ExtendedColorType::Rgb8)
        .map_err(std::io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_widened_and_stay_inside() {
        let window = |options: &CropOptions, bbox| {
            let w = options.window(bbox, [100, 80]);
            [w.x, w.y, w.width, w.height]
        };
        let exact = CropOptions { margin: 0.0, square: false, min_size: 0.0 };
        assert_eq!(window(&exact, [10.0, 20.0, 30.0, 60.0]), [10, 20, 20, 40]);
        assert_eq!(window(&exact, [10.2, 20.9, 29.1, 59.5]), [10, 20, 20, 40], "whole pixels around the box");
        // 40 high, so 40 wide around x = 20: from 0 to 40; with a quarter of 40 as border from -10 (cut) to 50 and 10 to 70.
        assert_eq!(window(&CropOptions { square: true, ..exact.clone() }, [10.0, 20.0, 30.0, 60.0]), [0, 20, 40, 40]);
        assert_eq!(
            window(&CropOptions { margin: 0.25, square: true, ..exact.clone() }, [10.0, 20.0, 30.0, 60.0]),
            [0, 10, 50, 60]
        );
        assert_eq!(window(&exact, [99.9, 79.9, 100.0, 80.0]), [99, 79, 1, 1]);
        assert_eq!(window(&exact, [0.0, 0.0, 0.0, 0.0]), [0, 0, 1, 1]);
    }

    #[test]
    fn objects_with_one_id_get_pictures_of_their_own() {
        let mut earlier = HashMap::new();
        let names: Vec<String> = [4, 5, 4].into_iter().map(|id| picture("a", id, &mut earlier)).collect();
        assert_eq!(names, ["a_4.png", "a_5.png", "a_4_2.png"]);
    }
}
