//! Built-in data: pictures of simple figures with exact boxes and masks, so that a demo needs no download.
//!
//! Five classes (circle, square, triangle, star, ring) in all sizes from 16 px, tilted, stretched, overlapping and cut off by
//! the border, over gradients, clouds, stripes and noise, among lines, soft blobs and figures of no class (plus, crescent, bar).
//! A mask is what can be seen of its object, the box fits that mask. At least [`MIN_VISIBLE`] of every object is left
//! uncovered, so that nothing is asked for that cannot be seen.
//!
//! Every picture depends on `(seed, index)` alone and uses only integers and the four IEEE operations in a fixed order (no
//! sine, no library function that differs between machines), so the same numbers give the same bytes everywhere.

mod background;
mod clutter;
mod export;
mod figure;
mod paint;
mod random;
mod source;

use image::RgbImage;
use repghost_config::Check;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::annotations::{Annotation, ClassList, Dataset, ImageRecord, LabelMode, SampleAnnotations, Segmentation};
use crate::types::InstanceMask;

pub use export::{write_set, ShapesExport};
use figure::{Figure, Kind};
use paint::Canvas;
use random::Random;
pub use source::ShapesSource;

/// Names of the classes; label i has category id i + 1.
pub const CLASS_NAMES: [&str; 5] = ["circle", "square", "triangle", "star", "ring"];
/// Share of an object's pixels that later objects leave uncovered.
pub const MIN_VISIBLE: f32 = 0.6;
/// Longer side of the smallest object in pixels.
pub const MIN_OBJECT: u32 = 16;
/// Longer side of the largest object as a share of the picture's shorter side.
const LARGEST_OBJECT: f32 = 0.45;
/// Where the validation pictures of a series begin: never among those that are learned from.
pub const FIRST_VAL: u64 = 1 << 32;
/// Places tried for an object before it is given up.
const PLACES_TRIED: usize = 12;

/// What the pictures look like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShapesConfig {
    /// Height and width of the pictures.
    #[schemars(inner(range(min = 64, max = 4096)), extend("x-unit" = "pixels"))]
    pub size: [u32; 2],
    /// Most objects in a picture; the number is drawn evenly from 1 up to it.
    #[schemars(range(min = 1, max = 100))]
    pub max_objects: u32,
    /// One picture in so many has no object; 0 for none.
    pub empty_every: u32,
    /// Whether lines, blobs, noise and figures of no class are drawn.
    pub clutter: bool,
}

impl Default for ShapesConfig {
    fn default() -> Self {
        ShapesConfig { size: [256, 256], max_objects: 7, empty_every: 20, clutter: true }
    }
}

impl Check for ShapesConfig {}

/// The classes of the built-in data.
pub fn classes() -> ClassList {
    let categories = (1..).zip(CLASS_NAMES.map(str::to_owned));
    // Fails for category ids that cannot be labels only; these are 1 to 5.
    ClassList::new(categories, LabelMode::Contiguous).unwrap_or_default()
}

/// The file name that picture `index` has when it is written, counted from the beginning of its set.
pub fn file_name(index: u64) -> String {
    format!("{:06}.png", index % FIRST_VAL)
}

/// Makes picture `index` of the series `seed`. Image ids count from 1
/// within the set (see [`FIRST_VAL`]). The configuration is taken as valid.
pub fn generate(seed: u64, index: u64, config: &ShapesConfig) -> (RgbImage, SampleAnnotations) {
    let [height, width] = config.size;
    let mut random = Random::new(seed, index);
    let mut canvas = Canvas::new(height, width);
    background::paint(&mut canvas, &mut random, config.clutter);
    if config.clutter {
        clutter::below(&mut canvas, &mut random);
    }
    let empty = config.empty_every > 0 && random.below(config.empty_every) == 0;
    let wanted = if empty { 0 } else { 1 + random.below(config.max_objects) };
    let mut kinds = Vec::new();
    for _ in 0..wanted {
        let kind = Kind::ALL[random.below(Kind::ALL.len() as u32) as usize];
        let size = random.between(MIN_OBJECT as f32, height.min(width) as f32 * LARGEST_OBJECT);
        for _ in 0..PLACES_TRIED {
            let figure = Figure::draw(&mut random, kind, size, [width as f32, height as f32]);
            let cover = canvas.cover(&figure);
            if canvas.allows(&cover) {
                canvas.paint_object(&figure, &cover, &mut random);
                kinds.push(kind);
                break;
            }
        }
    }
    if config.clutter {
        clutter::above(&mut canvas, &mut random);
        canvas.grain(&mut random);
    }
    let masks = canvas.visible_masks();
    let image = ImageRecord { id: (index % FIRST_VAL) as i64 + 1, file_name: file_name(index), height, width };
    let annotations = kinds
        .into_iter()
        .zip(masks)
        .enumerate()
        .map(|(number, (kind, mask))| annotation(index, number, kind, mask, config))
        .collect();
    (canvas.into_image(), SampleAnnotations { image, annotations })
}

/// The annotations of pictures `first..first + count`, without keeping pixels: what evaluation compares with.
pub fn dataset(seed: u64, first: u64, count: u64, config: &ShapesConfig) -> Dataset {
    use rayon::prelude::*;
    let samples = (first..first + count).into_par_iter().map(|index| generate(seed, index, config).1).collect();
    Dataset::from_samples(samples, classes())
}

fn annotation(index: u64, number: usize, kind: Kind, mask: InstanceMask, config: &ShapesConfig) -> Annotation {
    let [rows, columns] = mask.size;
    let label = kind.label();
    Annotation {
        // Ids stay unique and reproducible without counting through the series.
        id: (index % FIRST_VAL) as i64 * 128 + number as i64 + 1,
        category_id: label + 1,
        label,
        bbox: [f64::from(mask.origin[0]), f64::from(mask.origin[1]), columns as f64, rows as f64],
        area: mask.area() as f64,
        iscrowd: false,
        segmentation: Segmentation::Rle(mask.to_rle(config.size[0], config.size[1])),
    }
}
