//! Decoding against what Pillow reported about each edge case.

mod common;

use std::path::Path;

use image::RgbImage;
use repghost_coco::decode::{decode_image, image_size, resolve};
use repghost_coco::{read_image, DataError, DecodeConfig};
use serde_json::Value;

/// Pillow decodes by libjpeg, which rounds up and down by turns where it interpolates subsampled colour; zune-jpeg rounds one
/// way, which is a third of a level on average. (Full-resolution colour and gray agree to 0.01.)
const JPEG_MEAN_TOLERANCE: f64 = 0.35;
const JPEG_CORNER_TOLERANCE: i32 = 2;

fn mean(image: &RgbImage) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for pixel in image.pixels() {
        for (sum, value) in sums.iter_mut().zip(pixel.0) {
            *sum += f64::from(value);
        }
    }
    sums.map(|s| s / f64::from(image.width() * image.height()))
}

#[test]
fn every_edge_case_looks_as_pillow_sees_it() {
    let Some(root) = common::shared("edge_cases") else { return };
    let reference: Value = serde_json::from_slice(&std::fs::read(root.join("images_reference.json")).unwrap()).unwrap();
    let (mut good, mut broken) = (0, 0);
    for (name, expected) in reference.as_object().unwrap() {
        let path = root.join("images").join(name);
        let found = read_image(&path, &DecodeConfig::default());
        if let Some(pillow) = expected.get("error") {
            let error = found.expect_err(&format!("{name}: Pillow says {pillow}"));
            assert!(error.is_unreadable_image(), "{name}: {error}");
            assert!(error.to_string().contains(name.as_str()), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
            assert_eq!(matches!(error, DataError::TooManyPixels { .. }), name == "bomb_header.png", "{error}");
            broken += 1;
            continue;
        }
        let image = found.unwrap();
        let [width, height] = [0, 1].map(|i| expected["size"][i].as_u64().unwrap() as usize);
        assert_eq!([image.width() as usize, image.height() as usize], [width, height], "{name}");
        assert_eq!(image_size(&path, &DecodeConfig::default()).unwrap(), [width, height], "{name}");
        let lossy = std::fs::read(&path).unwrap().starts_with(&[0xFF, 0xD8]);
        let (mean_tolerance, corner_tolerance) = if lossy { (JPEG_MEAN_TOLERANCE, JPEG_CORNER_TOLERANCE) } else { (6e-4, 0) };
        for (channel, found) in mean(&image).into_iter().enumerate() {
            let wanted = expected["mean_rgb"][channel].as_f64().unwrap();
            assert!((found - wanted).abs() <= mean_tolerance, "{name} channel {channel}: mean {found}, Pillow {wanted}");
            let corner = i32::from(image.get_pixel(0, 0).0[channel]);
            let wanted = expected["top_left_rgb"][channel].as_i64().unwrap() as i32;
            assert!((corner - wanted).abs() <= corner_tolerance, "{name} channel {channel}: corner {corner}, Pillow {wanted}");
        }
        good += 1;
    }
    assert_eq!((good, broken), (26, 8));
}

#[test]
fn with_exif_applied_the_red_block_is_at_the_top_left() {
    let Some(root) = common::shared("edge_cases") else { return };
    let config = DecodeConfig { apply_exif: true, ..DecodeConfig::default() };
    let upright = read_image(&root.join("images/exif1.jpg"), &config).unwrap();
    let mirrored = image::imageops::flip_horizontal(&upright);
    let distance = |a: &RgbImage, b: &RgbImage| {
        let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / a.as_raw().len() as f64
    };
    // The eight files were compressed anew in their stored orientation: alike, not equal.
    assert!(distance(&mirrored, &upright) > 20.0);
    for n in 1..=8 {
        let path = root.join(format!("images/exif{n}.jpg"));
        let image = read_image(&path, &config).unwrap();
        assert_eq!(image.dimensions(), (160, 120), "orientation {n}");
        assert_eq!(image_size(&path, &config).unwrap(), [160, 120], "orientation {n}");
        let red = image.get_pixel(2, 2).0;
        assert!(red[0] > 200 && red[1] < 60 && red[2] < 60, "orientation {n}: {red:?}");
        let differs = distance(&image, &upright);
        assert!(differs < 4.0, "orientation {n} is another picture: {differs} levels on average");
    }
}

#[test]
fn the_pixel_limit_is_checked_before_anything_is_allocated() {
    let Some(root) = common::shared("edge_cases") else { return };
    let config = DecodeConfig { max_pixels: 160 * 120 - 1, ..DecodeConfig::default() };
    for name in ["good.jpg", "alpha.png"] {
        let error = read_image(&root.join("images").join(name), &config).unwrap_err();
        assert!(matches!(error, DataError::TooManyPixels { width: 160, height: 120, limit: 19_199, .. }), "{error}");
    }
    let bomb = image_size(&root.join("images/bomb_header.png"), &DecodeConfig::default()).unwrap_err();
    assert!(matches!(bomb, DataError::TooManyPixels { width: 60_000, .. }), "{bomb}");
}

#[test]
fn no_prefix_of_a_jpeg_is_an_image() {
    let Some(root) = common::shared("edge_cases") else { return };
    for name in ["good.jpg", "progressive.jpg", "cmyk.jpg"] {
        let bytes = std::fs::read(root.join("images").join(name)).unwrap();
        for cut in (0..bytes.len() - 1).step_by(251) {
            let error = decode_image(&bytes[..cut], Path::new(name), &DecodeConfig::default()).unwrap_err();
            assert!(matches!(error, DataError::Image { .. }), "{name} cut to {cut} bytes: {error}");
        }
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let Some(root) = common::shared("edge_cases") else { return };
    for name in ["good.jpg", "progressive.jpg", "sub444.jpg", "palette.png", "gray16.png", "exif6.jpg"] {
        let original = std::fs::read(root.join("images").join(name)).unwrap();
        for at in (0..original.len()).step_by(original.len() / 60) {
            let mut bytes = original.clone();
            bytes[at] = !bytes[at];
            let config = DecodeConfig { apply_exif: true, max_pixels: 1 << 20 };
            match decode_image(&bytes, Path::new(name), &config) {
                Ok(image) => assert!(image.width() * image.height() <= 1 << 20),
                Err(error) => assert!(error.is_unreadable_image(), "{error}"),
            }
        }
    }
}

#[test]
fn names_stay_under_the_image_folder() {
    let root = Path::new("images");
    assert_eq!(resolve(root, "a/b c é.jpg").unwrap(), root.join("a/b c é.jpg"));
    assert_eq!(resolve(root, "./a.jpg").unwrap(), root.join("./a.jpg"));
    for name in ["", "../a.jpg", "a/../../b.jpg", "/etc/passwd", "a\0.jpg", ".."] {
        let error = resolve(root, name).unwrap_err();
        assert!(matches!(error, DataError::OutsideRoot { .. }), "{name:?}: {error}");
    }
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = read_image(&folder.path().join("none.jpg"), &DecodeConfig::default()).unwrap_err();
    assert!(missing.to_string().contains("none.jpg"), "{missing}");
    let error = read_image(folder.path(), &DecodeConfig::default()).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}
