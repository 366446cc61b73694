//! JPEG, by zune-jpeg, with Pillow's view of damaged files.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::buffers::black;

use super::{check_pixels, DecodeConfig, Header, Refusal};

/// Largest side that the format can express.
const MAX_SIDE: usize = 65_535;

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const TEM: u8 = 0x01;
const RST0: u8 = 0xD0;
const RST7: u8 = 0xD7;

pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, SOI, 0xFF])
}

pub(super) fn decode(bytes: &[u8], config: &DecodeConfig) -> Result<RgbImage, Refusal> {
    let (mut decoder, [width, height]) = open(bytes, config)?;
    if !is_complete(bytes) {
        return Err(Refusal::truncated());
    }
    // Of the header: an EXIF segment behind the pixels does not count, as in `header`.
    let turn = orientation(&decoder, config);
    let mut stored = black(width as u32, height as u32);
    decoder.decode_into(&mut stored).map_err(|e| Refusal::Broken(e.to_string()))?;
    match turn {
        None => Ok(stored),
        Some(turn) => {
            let mut upright = DynamicImage::ImageRgb8(stored);
            upright.apply_orientation(turn);
            Ok(upright.into_rgb8())
        }
    }
}

pub(super) fn size(bytes: &[u8], config: &DecodeConfig) -> Result<[usize; 2], Refusal> {
    let (decoder, [width, height]) = open(bytes, config)?;
    let turned = matches!(
        orientation(&decoder, config),
        Some(Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH)
    );
    Ok(if turned { [height, width] } else { [width, height] })
}

pub(super) fn header(bytes: &[u8], config: &DecodeConfig) -> Result<Header, Refusal> {
    let (decoder, stored) = open(bytes, config)?;
    if !is_complete(bytes) {
        return Err(Refusal::truncated());
    }
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)).map_or(1, Orientation::to_exif);
    Ok(Header { stored, orientation, sixteen_bit: false })
}

/// A decoder over bytes in memory.
type Decoder<'a> = JpegDecoder<ZCursor<&'a [u8]>>;

/// Parses the header and checks the size.
fn open<'a>(bytes: &'a [u8], config: &DecodeConfig) -> Result<(Decoder<'a>, [usize; 2]), Refusal> {
    let options =
        DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB).set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| Refusal::Broken(e.to_string()))?;
    if !luma_is_finest(bytes) {
        // The decoder's buffers are too small for it, and it panics.
        return Err(Refusal::Broken("its colour is sampled more finely than its brightness".into()));
    }
    let info = decoder.info().ok_or_else(|| Refusal::Broken("it has no frame header".into()))?;
    let size = [usize::from(info.width), usize::from(info.height)];
    check_pixels(size[0], size[1], config)?;
    Ok((decoder, size))
}

fn orientation(decoder: &JpegDecoder<ZCursor<&[u8]>>, config: &DecodeConfig) -> Option<Orientation> {
    let exif = decoder.exif().filter(|_| config.apply_exif)?;
    Orientation::from_exif_chunk(exif).filter(|turn| *turn != Orientation::NoTransforms)
}

/// Whether the end marker is there. Decoders fill what is missing with gray; Pillow calls the file truncated, and so do we.
///
/// Markers are followed from segment to segment, so that a thumbnail's end marker inside of an EXIF segment does not count.
fn is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // In entropy-coded data a literal FF is followed by 00; restart markers have no segment; FF may be repeated as filling.
        let Some(step) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == 0xFF)) else { return false };
        at += step + 1;
        let Some(&marker) = bytes.get(at) else { return false };
        match marker {
            EOI => return true,
            0xFF => {}
            0x00 | TEM | SOI | RST0..=RST7 => at += 1,
            _ => {
                let Some(length) = bytes.get(at + 1..at + 3) else { return false };
                at += 1 + usize::from(u16::from_be_bytes([length[0], length[1]]));
            }
        }
    }
}

/// Whether no component has more samples than the first one, as in every file that an encoder writes.
///
/// Frame headers are looked for everywhere, since the decoder passes over extra bytes between segments. Among other bytes nothing looks like one:
/// marker, length, bits per sample and the number of components have to fit each other.
fn luma_is_finest(bytes: &[u8]) -> bool {
    memchr::memchr_iter(0xFF, bytes).all(|at| {
        let Some(&[_, marker, high, low, bits, _, _, _, _, count]) = bytes.get(at..at + 10) else { return true };
        // C4, C8 and CC are tables and an extension.
        let is_frame = matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC);
        let count = usize::from(count);
        let fits = usize::from(u16::from_be_bytes([high, low])) == 8 + 3 * count && bits == 8 && (1..=4).contains(&count);
        if !is_frame || !fits {
            return true;
        }
        let components = bytes.get(at + 10..(at + 10 + 3 * count).min(bytes.len())).unwrap_or_default();
        let mut factors = components.chunks_exact(3).map(|c| [c[1] >> 4, c[1] & 15]);
        let Some(first) = factors.next() else { return true };
        factors.all(|f| f[0] <= first[0] && f[1] <= first[1])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by fuzzing: the decoder's assertion failed for the second component of this frame, 2x2 beside a brightness of 1x1.
    #[test]
    fn colour_finer_than_brightness_is_refused() {
        let frame = |factors: [u8; 3]| {
            let mut bytes = vec![0xFF, SOI, 0xFF, 0xE0, 0, 4, 9, 9, 0xFF, 0xC2, 0, 17, 8, 0, 5, 0, 7, 3];
            (1..).zip(factors).for_each(|(id, f)| bytes.extend([id, f, 0]));
            bytes
        };
        assert!(!luma_is_finest(&frame([0x11, 0x22, 0x11])) && !luma_is_finest(&frame([0x21, 0x11, 0x12])));
        for factors in [[0x11; 3], [0x22, 0x11, 0x11], [0x21, 0x11, 0x11], [0x41, 0x11, 0x11]] {
            assert!(luma_is_finest(&frame(factors)), "{factors:x?}");
        }
        // Behind extra bytes between segments, over which the decoder passes.
        let mut behind = frame([0x11, 0x22, 0x11]);
        behind.splice(8..8, [0, 1, 2]);
        assert!(!luma_is_finest(&behind));
        assert!(luma_is_finest(&[0xFF, SOI]) && luma_is_finest(&frame([0x11; 3])[..20]));
    }

    /// Found by fuzzing: `largest_sample` gave such a file to another decoder, which has no check of its own.
    #[test]
    fn no_jpeg_has_samples_of_16_bits() {
        let mut bytes = vec![0xFF, SOI, 0xFF, 0xC2, 0, 17, 8, 0, 5, 0, 7, 3, 2, 0x11, 1, 3, 0x22, 0, 1, 0x11, 1];
        bytes.extend([0xFF, EOI]);
        assert_eq!(super::super::largest_sample(&bytes, &DecodeConfig::default()), None);
    }

    /// Found by fuzzing: a decoder takes an EXIF segment between scans too, so that the picture was turned and its header was not.
    #[test]
    fn exif_behind_the_first_scan_does_not_turn() {
        let mut file = Vec::new();
        let pixels = RgbImage::from_pixel(16, 8, image::Rgb([90, 10, 200]));
        image::codecs::jpeg::JpegEncoder::new(&mut file).encode_image(&pixels).unwrap();
        let tiff = [b'I', b'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0];
        let mut exif = vec![0xFF, 0xE1, 0, 2 + 6 + tiff.len() as u8];
        exif.extend(b"Exif\0\0");
        exif.extend(tiff);
        let config = DecodeConfig { apply_exif: true, ..DecodeConfig::default() };
        let mut before = file.clone();
        before.splice(2..2, exif.iter().copied());
        assert_eq!(decode(&before, &config).unwrap().dimensions(), (8, 16), "in its place it turns");
        file.splice(file.len() - 2..file.len() - 2, exif);
        assert_eq!(size(&file, &config).unwrap(), [16, 8]);
        assert_eq!(decode(&file, &config).unwrap().dimensions(), (16, 8));
    }

    #[test]
    fn an_end_marker_counts_only_outside_of_segments() {
        let app1_with_thumbnail_end = [0xFF, SOI, 0xFF, 0xE1, 0, 6, 1, 0xFF, EOI, 2];
        assert!(!is_complete(&app1_with_thumbnail_end));
        let mut whole = app1_with_thumbnail_end.to_vec();
        whole.extend([0xFF, 0xDA, 0, 2, 9, 0xFF, 0, 9, 0xFF, RST0, 9, 0xFF, 0xFF, EOI]);
        assert!(is_complete(&whole));
        for cut in 0..whole.len() {
            assert!(!is_complete(&whole[..cut]), "cut to {cut} bytes");
        }
    }
}
