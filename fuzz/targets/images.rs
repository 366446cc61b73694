//! Image decoders behind the limit of pixels: the header's size is the picture's, and nothing larger is decoded.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use repghost_coco::decode::{decode_image, largest_sample, read_header, DecodeConfig};

fuzz_target!(|bytes: &[u8]| {
    for apply_exif in [false, true] {
        let config = DecodeConfig { apply_exif, max_pixels: 1 << 18 };
        let path = Path::new("a.jpg");
        let header = read_header(bytes, path, &config);
        match decode_image(bytes, path, &config) {
            Ok(picture) => {
                let header = header.expect("what decodes has a header");
                let size = if apply_exif { header.upright() } else { header.stored };
                assert_eq!(size, [picture.width() as usize, picture.height() as usize]);
                assert!(size[0] * size[1] <= config.max_pixels);
            }
            Err(error) => {
                repghost_fuzz::message(&error);
                assert_eq!(error.to_string().lines().count(), 1, "{error}");
            }
        }
        largest_sample(bytes, &config);
    }
});
