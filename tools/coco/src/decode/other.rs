//! Everything but JPEG, by the `image` crate: PNG, BMP, GIF (first frame), WebP, TIFF.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader, Limits, RgbImage};

use super::{check_pixels, DecodeConfig, Header, Refusal};
use crate::contents::mistaken_for;

/// Bytes that one pixel may cost while decoding (RGBA of 16 bits, twice).
const BYTES_PER_PIXEL: u64 = 16;

pub(super) fn decode(bytes: &[u8], config: &DecodeConfig) -> Result<RgbImage, Refusal> {
    let mut decoder = open(bytes, config)?;
    let turn = if config.apply_exif { decoder.orientation().map_err(broken)? } else { Orientation::NoTransforms };
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    image.apply_orientation(turn);
    Ok(to_rgb(image))
}

pub(super) fn size(bytes: &[u8], config: &DecodeConfig) -> Result<[usize; 2], Refusal> {
    let mut decoder = open(bytes, config)?;
    let (width, height) = decoder.dimensions();
    let turn = if config.apply_exif { decoder.orientation().map_err(broken)? } else { Orientation::NoTransforms };
    let turned =
        matches!(turn, Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH);
    Ok(if turned { [height as usize, width as usize] } else { [width as usize, height as usize] })
}

pub(super) fn header(bytes: &[u8], config: &DecodeConfig) -> Result<Header, Refusal> {
    let mut decoder = open(bytes, config)?;
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().map_or(1, Orientation::to_exif);
    let sixteen_bit = decoder.color_type().bits_per_pixel() / u16::from(decoder.color_type().channel_count()) == 16;
    Ok(Header { stored: [width as usize, height as usize], orientation, sixteen_bit })
}

pub(super) fn largest_sample(bytes: &[u8], config: &DecodeConfig) -> Option<u16> {
    let most = |samples: &[u16]| samples.iter().copied().max();
    match DynamicImage::from_decoder(open(bytes, config).ok()?).ok()? {
        DynamicImage::ImageLuma16(i) => most(i.as_raw()),
        DynamicImage::ImageLumaA16(i) => most(i.as_raw()),
        DynamicImage::ImageRgb16(i) => most(i.as_raw()),
        DynamicImage::ImageRgba16(i) => most(i.as_raw()),
        _ => None,
    }
}

fn open<'a>(bytes: &'a [u8], config: &DecodeConfig) -> Result<impl ImageDecoder + 'a, Refusal> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|e| Refusal::Broken(format!("its format cannot be told: {e}")))?;
    if reader.format().is_none() {
        return Err(Refusal::Broken(match bytes.len() {
            0 => "the file is empty".into(),
            _ if mistaken_for(bytes).is_some() => mistaken_for(bytes).unwrap_or_default().into(),
            _ => "its content is none of JPEG, PNG, BMP, GIF, WebP, TIFF".into(),
        }));
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(BYTES_PER_PIXEL.saturating_mul(config.max_pixels as u64));
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    check_pixels(width as usize, height as usize, config)?;
    Ok(decoder)
}

/// Drops alpha and repeats gray, as Pillow does; keeps the high byte of 16-bit samples.
fn to_rgb(image: DynamicImage) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let high = |v: &u16| (v >> 8) as u8;
    let rgb = |data: Vec<u8>| RgbImage::from_raw(width, height, data);
    let gray = |data: Vec<u8>| GrayImage::from_raw(width, height, data).map(|g| DynamicImage::from(g).into_rgb8());
    let by_hand = match &image {
        DynamicImage::ImageLuma16(i) => gray(i.as_raw().iter().map(high).collect()),
        DynamicImage::ImageLumaA16(i) => gray(i.as_raw().iter().step_by(2).map(high).collect()),
        DynamicImage::ImageRgb16(i) => rgb(i.as_raw().iter().map(high).collect()),
        DynamicImage::ImageRgba16(i) => {
            rgb(i.as_raw().chunks_exact(4).flat_map(|p| [high(&p[0]), high(&p[1]), high(&p[2])]).collect())
        }
        _ => None,
    };
    by_hand.unwrap_or_else(|| image.into_rgb8())
}

fn broken(error: image::ImageError) -> Refusal {
    Refusal::Broken(error.to_string())
}
