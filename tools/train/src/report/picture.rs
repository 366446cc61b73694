//! Images and masks for the page: small JPEGs as data URIs, masks as runs on the small image.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use image::codecs::jpeg::JpegEncoder;
use image::RgbImage;
use repghost_coco::resize::{resize, Filter};
use repghost_coco::InstanceMask;

/// Longer side of an image in the page, in pixels.
const SIDE: u32 = 448;
const QUALITY: u8 = 82;

/// Width and height of an image in the page.
pub fn page_size(width: u32, height: u32) -> [u32; 2] {
    let factor = (f64::from(SIDE) / f64::from(width.max(height).max(1))).min(1.0);
    [width, height].map(|v| ((f64::from(v) * factor).round() as u32).max(1))
}

/// The image, not larger than the page needs it, as a data URI.
///
/// # Errors
/// The encoder's message.
pub fn data_uri(image: &RgbImage) -> Result<String, image::ImageError> {
    let [width, height] = page_size(image.width(), image.height());
    let small = resize(image, width as usize, height as usize, Filter::Bilinear);
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&small)?;
    Ok(as_data_uri("image/jpeg", &bytes))
}

/// Bytes as a data URI.
pub fn as_data_uri(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", STANDARD.encode(bytes))
}

/// A mask of an image of `size` (width, height) on the page's small image: x, y and length of each run, row by row.
pub fn runs(mask: &InstanceMask, size: [u32; 2]) -> Vec<u32> {
    let [width, height] = page_size(size[0], size[1]);
    let factor = [f64::from(size[0]) / f64::from(width), f64::from(size[1]) / f64::from(height)];
    let [rows, columns] = mask.size;
    // The pixel of the mask's crop below the centre of a small pixel.
    let place = |v: u32, axis: usize| ((f64::from(v) + 0.5) * factor[axis]).floor() as i64 - i64::from(mask.origin[axis]);
    let inside = |v: i64, length: usize| usize::try_from(v).ok().filter(|v| *v < length);
    let mut out = Vec::new();
    for y in 0..height {
        let Some(row) = inside(place(y, 1), rows) else { continue };
        let mut start = None;
        for x in 0..=width {
            let column = inside(place(x, 0), columns).filter(|_| x < width);
            let set = column.is_some_and(|c| mask.bits.get(row * columns + c).is_some_and(|bit| *bit != 0));
            match (start, set) {
                (None, true) => start = Some(x),
                (Some(from), false) => {
                    out.extend([from, y, x - from]);
                    start = None;
                }
                _ => {}
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_the_shape_and_never_grow() {
        assert_eq!(page_size(640, 480), [448, 336]);
        assert_eq!(page_size(100, 50), [100, 50]);
        assert_eq!(page_size(10_000, 1), [448, 1]);
    }

    #[test]
    fn masks_become_runs_of_the_small_image() {
        // An image twice as large as on the page: the small pixel (x, y) looks at the pixel (2x + 1, 2y + 1).
        let mask = InstanceMask { origin: [3, 1], size: [3, 6], bits: [1, 1, 0, 0, 1, 1].repeat(3) };
        assert_eq!(runs(&mask, [896, 896]), [1, 0, 1, 3, 0, 1, 1, 1, 1, 3, 1, 1]);
        assert_eq!(runs(&InstanceMask::empty(), [10, 10]), [0u32; 0]);
        // Up to the right border, on an image that is not made smaller.
        let mask = InstanceMask { origin: [2, 1], size: [1, 2], bits: vec![1, 1] };
        assert_eq!(runs(&mask, [4, 4]), [2, 1, 2]);
    }

    #[test]
    fn images_become_data_uris() {
        let uri = data_uri(&RgbImage::from_pixel(900, 300, image::Rgb([200, 30, 30]))).unwrap();
        let bytes = STANDARD.decode(uri.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
        let back = image::load_from_memory(&bytes).unwrap();
        assert_eq!((back.width(), back.height()), (448, 149));
    }
}
