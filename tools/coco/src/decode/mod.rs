//! Image files to RGB bytes, as Pillow's `convert('RGB')` sees them.
//!
//! Real data sets hold gray and CMYK JPEG files, palettes, transparency, 16-bit PNG and files whose extension lies, so the
//! *content* decides who decodes. What follows is what every COCO trainer in Python gets from Pillow, since box coordinates and
//! published accuracies rest on it:
//!
//! - gray is repeated into three channels; an alpha channel is dropped, not blended;
//! - 16-bit samples keep their high byte, as OpenCV has it (Pillow cuts 16-bit gray off at 255, which leaves white);
//! - CMYK is taken as Adobe writes it (inverted);
//! - the EXIF orientation is ignored (COCO's width and height are those of the stored pixels) unless asked for;
//! - a truncated file is an error. Half a picture with gray below would train on boxes over nothing.
//!
//! The number of pixels is checked in the header, before anything is allocated.

mod jpeg;
pub mod missing;
mod names;
mod other;

use std::io;
use std::path::{Component, Path, PathBuf};

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::shards;

pub use names::{is_address, is_hidden, is_image, is_video, IMAGE_ENDINGS, VIDEO_ENDINGS};

/// Pillow's `DecompressionBombError` limit: twice 89,478,485 pixels.
pub const MAX_PIXELS: usize = 178_956_970;
/// Bytes of an image file: the largest image, uncompressed with 16 bits per sample, and some.
const MAX_FILE_BYTES: u64 = 2 << 30;

/// How files are decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeConfig {
    /// Turn the image by its EXIF orientation. Off for COCO, whose boxes refer to the stored pixels.
    pub apply_exif: bool,
    /// Images with more pixels than this are refused.
    pub max_pixels: usize,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self { apply_exif: false, max_pixels: MAX_PIXELS }
    }
}

/// Why bytes gave no image; the caller has the path.
#[derive(Debug)]
enum Refusal {
    Broken(String),
    TooManyPixels { width: usize, height: usize },
}

impl Refusal {
    fn truncated() -> Self {
        Self::Broken("image file is truncated (JPEG data without its end marker)".into())
    }

    fn about(self, path: &Path, config: &DecodeConfig) -> DataError {
        let path = path.into();
        match self {
            // Decoders' messages may span lines.
            Self::Broken(reason) => DataError::Image { path, reason: reason.split_whitespace().collect::<Vec<_>>().join(" ") },
            Self::TooManyPixels { width, height } => DataError::TooManyPixels { path, width, height, limit: config.max_pixels },
        }
    }
}

/// Reads and decodes one file.
///
/// # Errors
/// The path and the reason, where the file is missing, no image, truncated or larger than [`DecodeConfig::max_pixels`].
pub fn read_image(path: &Path, config: &DecodeConfig) -> Result<RgbImage, DataError> {
    decode_image(&read_bytes(path)?, path, config)
}

/// Decodes an image that is in memory; `path` is for messages only.
///
/// # Errors
/// As [`read_image`].
pub fn decode_image(bytes: &[u8], path: &Path, config: &DecodeConfig) -> Result<RgbImage, DataError> {
    let decoded = if jpeg::is_jpeg(bytes) { jpeg::decode(bytes, config) } else { other::decode(bytes, config) };
    decoded.map_err(|refusal| refusal.about(path, config))
}

/// What the header of an image file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Width and height of the stored pixels.
    pub stored: [usize; 2],
    /// The EXIF orientation, 1 (none) to 8.
    pub orientation: u8,
    /// Whether a sample has 16 bits.
    pub sixteen_bit: bool,
}

impl Header {
    /// Width and height once the image is turned by its EXIF orientation.
    pub fn upright(&self) -> [usize; 2] {
        let [width, height] = self.stored;
        // Orientations from 5 on swap the axes.
        if self.orientation >= 5 {
            [height, width]
        } else {
            [width, height]
        }
    }
}

/// Reads the header of an image that is in memory; a JPEG has to have its end marker, too. `path` is for messages only.
///
/// # Errors
/// As [`read_image`], as far as the header goes.
pub fn read_header(bytes: &[u8], path: &Path, config: &DecodeConfig) -> Result<Header, DataError> {
    let header = if jpeg::is_jpeg(bytes) { jpeg::header(bytes, config) } else { other::header(bytes, config) };
    header.map_err(|refusal| refusal.about(path, config))
}

/// The largest sample of an image with 16 bits per sample; `None` for others, and for what cannot be decoded.
pub fn largest_sample(bytes: &[u8], config: &DecodeConfig) -> Option<u16> {
    if jpeg::is_jpeg(bytes) {
        // 8 bits each.
        return None;
    }
    other::largest_sample(bytes, config)
}

/// Width and height of an image file as [`read_image`] would give them, from its header alone.
///
/// # Errors
/// As [`read_image`], as far as the header goes.
pub fn image_size(path: &Path, config: &DecodeConfig) -> Result<[usize; 2], DataError> {
    let bytes = read_bytes(path)?;
    let size = if jpeg::is_jpeg(&bytes) { jpeg::size(&bytes, config) } else { other::size(&bytes, config) };
    size.map_err(|refusal| refusal.about(path, config))
}

/// The path of an annotation's `file_name` under the image folder.
/// Backslashes are taken for slashes where no file has the name as it stands.
///
/// # Errors
/// [`DataError::OutsideRoot`] for absolute names and names with `..`: an annotation file is data and may not choose which files
/// of the machine are read.
pub fn resolve(root: &Path, name: &str) -> Result<PathBuf, DataError> {
    let relative = Path::new(name);
    let stays = relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if name.is_empty() || name.contains('\0') || !stays {
        return Err(DataError::OutsideRoot { root: root.into(), name: name.into() });
    }
    if let Some(set) = shards::of_root(root)? {
        return Ok(set.find(name).map_or_else(|| root.join(relative), |(path, _)| path));
    }
    let path = root.join(relative);
    if name.contains('\\') && !path.exists() {
        return Ok(missing::with_slashes(root, name).unwrap_or(path));
    }
    Ok(path)
}

/// Whether there is an image file of this path, or a member of an archive.
pub fn is_there(path: &Path) -> bool {
    shards::is_member(path) || path.exists()
}

/// The bytes of an image file.
///
/// # Errors
/// No such file, or none that can be read.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    if let Some(bytes) = shards::read(path) {
        return bytes.map_err(|source| DataError::Read { path: path.into(), source });
    }
    repghost_files::read_bounded(path, MAX_FILE_BYTES).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => {
            DataError::Image { path: path.into(), reason: "not a regular file".into() }
        }
        _ => DataError::Read { path: path.into(), source },
    })
}

fn check_pixels(width: usize, height: usize, config: &DecodeConfig) -> Result<(), Refusal> {
    if width == 0 || height == 0 {
        return Err(Refusal::Broken(format!("its header has {width}x{height} pixels")));
    }
    match width.checked_mul(height) {
        Some(pixels) if pixels <= config.max_pixels => Ok(()),
        _ => Err(Refusal::TooManyPixels { width, height }),
    }
}
