//! Images that two sets share: byte for byte, or as another copy of the same picture (another size, quality or file type).
//!
//! A picture that is learned from and measured on makes every number too good. Copies are found by a difference hash (for each of 8 x 8
//! places whether it gets darker to the right), and confirmed by the correlation of the two pictures at 32 x 32 pixels.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use rayon::prelude::*;
use serde::Serialize;

use crate::annotations::Dataset;
use crate::decode::{decode_image, read_bytes, read_image, resolve, DecodeConfig};
use crate::draw::{contact_sheet, Tile};
use crate::error::DataError;

/// Bits of two hashes that differ at most; a re-encoded picture has 0 to 3 of 64, another picture about 32.
const MAX_BITS: u32 = 10;
/// Correlation of the brightness of two copies at 32 x 32 pixels at least.
const MIN_CORRELATION: f64 = 0.985;
/// Standard deviation of the brightness below which a picture has nothing to be compared.
const MIN_CONTRAST: f64 = 2.0;
/// Side of the thumbnail.
const SIDE: u32 = 32;

/// How alike two images are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Likeness {
    /// The files have the same bytes.
    ByteEqual,
    /// The pictures look the same.
    Near {
        /// Correlation of their brightness.
        correlation: f64,
    },
}

/// An image of each set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// File name in the first set.
    pub first: String,
    /// File name in the second set.
    pub second: String,
    /// How alike they are.
    #[serde(flatten)]
    pub likeness: Likeness,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shared {
    /// Pairs: byte-equal ones first, then by likeness.
    pub pairs: Vec<Pair>,
    /// Images that could not be read.
    pub unreadable: Vec<String>,
}

impl Shared {
    /// Number of byte-equal pairs.
    pub fn equal(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.likeness == Likeness::ByteEqual).count()
    }
}

/// A set and the folder of its images.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// Its records.
    pub dataset: &'a Dataset,
    /// Where the files are.
    pub root: &'a Path,
}

/// What is kept of an image.
struct Print {
    name: String,
    path: PathBuf,
    bytes: (u64, u64),
    hash: u64,
    /// Brightness without its mean, scaled to length 1; empty for a picture without contrast.
    thumbnail: Vec<f32>,
}

/// Finds the images that two sets share. `progress` gets images done and in all.
pub fn shared_images(first: Images, second: Images, progress: &(dyn Fn(usize, usize) + Sync)) -> Shared {
    let total = first.dataset.len() + second.dataset.len();
    let done = AtomicUsize::new(0);
    let prints = |images: Images| -> (Vec<Print>, Vec<String>) {
        let all: Vec<Result<Print, DataError>> = images
            .dataset
            .images
            .par_iter()
            .map(|image| {
                let print = print(images.root, &image.file_name);
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
                print
            })
            .collect();
        let (mut prints, mut unreadable) = (Vec::new(), Vec::new());
        for one in all {
            match one {
                Ok(print) => prints.push(print),
                Err(error) => unreadable.push(error.to_string()),
            }
        }
        (prints, unreadable)
    };
    let ((first, mut unreadable), (second, more)) = (prints(first), prints(second));
    unreadable.extend(more);
    let mut by_bytes: HashMap<(u64, u64), Vec<&Print>> = HashMap::new();
    for print in &second {
        by_bytes.entry(print.bytes).or_default().push(print);
    }
    let mut pairs: Vec<Pair> = first
        .par_iter()
        .flat_map_iter(|a| {
            let equal = |b: &Print| a.bytes == b.bytes && same_bytes(&a.path, &b.path);
            let near = second.iter().filter(|b| (a.hash ^ b.hash).count_ones() <= MAX_BITS && !equal(b));
            let near = near.filter_map(|b| {
                let correlation = correlation(&a.thumbnail, &b.thumbnail);
                (correlation >= MIN_CORRELATION).then(|| pair(a, b, Likeness::Near { correlation }))
            });
            let same = by_bytes.get(&a.bytes).into_iter().flatten().filter(|b| equal(b));
            same.map(|b| pair(a, b, Likeness::ByteEqual)).chain(near).collect::<Vec<_>>()
        })
        .collect();
    let likeness = |pair: &Pair| match pair.likeness {
        Likeness::ByteEqual => 2.0,
        Likeness::Near { correlation } => correlation,
    };
    pairs.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)).then_with(|| (&a.first, &a.second).cmp(&(&b.first, &b.second))));
    Shared { pairs, unreadable }
}

fn pair(a: &Print, b: &Print, likeness: Likeness) -> Pair {
    Pair { first: a.name.clone(), second: b.name.clone(), likeness }
}

fn print(root: &Path, name: &str) -> Result<Print, DataError> {
    let path = resolve(root, name)?;
    let bytes = read_bytes(&path)?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    // Copies are often the upright form of a photograph that is stored lying down.
    let upright = DecodeConfig { apply_exif: true, ..DecodeConfig::default() };
    let picture = decode_image(&bytes, &path, &upright)?;
    let (hash, thumbnail) = (difference_hash(&picture), thumbnail(&picture));
    Ok(Print { name: name.to_string(), path, bytes: (bytes.len() as u64, hasher.finish()), hash, thumbnail })
}

/// Whether two files hold the same bytes; equal hashes are no proof.
fn same_bytes(a: &Path, b: &Path) -> bool {
    matches!((read_bytes(a), read_bytes(b)), (Ok(a), Ok(b)) if a == b)
}

/// Brightness at a small size, every pixel of the picture averaged in.
fn brightness(picture: &RgbImage, width: u32, height: u32) -> Vec<f32> {
    let rgb = picture.pixels().map(|p| (299 * u32::from(p.0[0]) + 587 * u32::from(p.0[1]) + 114 * u32::from(p.0[2])) / 1000);
    let gray: Vec<u8> = rgb.map(|v| v as u8).collect();
    let (w, h) = picture.dimensions();
    let mut small = vec![0; (width * height) as usize];
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Box));
    if let (Ok(from), Ok(mut to)) =
        (TypedImageRef::<U8>::from_buffer(w, h, &gray), TypedImage::<U8>::from_buffer(width, height, &mut small))
    {
        // An empty picture stays black.
        let _ = Resizer::new().resize_typed(&from, &mut to, &options);
    }
    small.into_iter().map(f32::from).collect()
}

fn difference_hash(picture: &RgbImage) -> u64 {
    let gray = brightness(picture, 9, 8);
    gray.chunks_exact(9).flat_map(|row| row.windows(2)).fold(0, |hash, two| (hash << 1) | u64::from(two[0] > two[1]))
}

fn thumbnail(picture: &RgbImage) -> Vec<f32> {
    let gray = brightness(picture, SIDE, SIDE);
    let mean = gray.iter().sum::<f32>() / gray.len() as f32;
    let length = gray.iter().map(|v| (v - mean).powi(2)).sum::<f32>().sqrt();
    if f64::from(length) < MIN_CONTRAST * f64::from(SIDE) {
        return vec![];
    }
    gray.iter().map(|v| (v - mean) / length).collect()
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
}

/// Pairs beside each other, `count` at most.
///
/// # Errors
/// An image that cannot be read any more.
pub fn sheet(pairs: &[Pair], first: &Path, second: &Path, count: usize, cell: u32) -> Result<RgbImage, DataError> {
    let config = DecodeConfig { apply_exif: true, ..DecodeConfig::default() };
    let mut tiles = Vec::new();
    for pair in pairs.iter().take(count) {
        let words = match pair.likeness {
            Likeness::ByteEqual => "equal".to_string(),
            Likeness::Near { correlation } => format!("{correlation:.3}"),
        };
        for (root, name) in [(first, &pair.first), (second, &pair.second)] {
            let image = read_image(&resolve(root, name)?, &config)?;
            tiles.push(Tile { image, caption: format!("{words}  {name}") });
        }
    }
    Ok(contact_sheet(&tiles, 4, cell))
}
