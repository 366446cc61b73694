//! Pixels against Pillow (resizing) and torchvision (photometric distortion); tools/fixtures/pixels.py made the fixtures.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use repghost_coco::augment::Distortion;
use repghost_coco::classify::{affine, ops};
use repghost_coco::read_image;
use repghost_coco::resize::{resize, Filter};
use serde_json::Value;

/// The fixture script's `picture`.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|c| {
            let texture = 3 * x * x + 7 * y * (c + 1) + ((x / 8 + y / 8) % 2) * 120 + 40 * c;
            let smooth = 2 * x + y + 50 * c;
            if x < width / 2 {
                (texture % 256) as u8
            } else {
                smooth.min(255) as u8
            }
        }))
    })
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pixels").join(name)
}

/// Mean and largest difference.
fn difference(a: &RgbImage, b: &RgbImage) -> (f64, u8) {
    assert_eq!(a.dimensions(), b.dimensions());
    let differences: Vec<u8> = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| a.abs_diff(*b)).collect();
    let sum: u64 = differences.iter().map(|d| u64::from(*d)).sum();
    (sum as f64 / differences.len() as f64, differences.into_iter().max().unwrap_or(0))
}

#[test]
fn resized_pixels_are_pillows() {
    let source = picture(97, 61);
    // Both keep bytes between the two passes, Pillow after the rows, fast_image_resize after the columns. Where a cubic
    // overshoots, what is clipped there depends on the order; a triangle never overshoots.
    for (name, filter, most) in [("bilinear", Filter::Bilinear, 2), ("bicubic", Filter::Bicubic, 16)] {
        for [width, height] in [[40, 25], [31, 31], [120, 75], [13, 50]] {
            let expected = read_image(&fixture(&format!("{name}_{width}x{height}.png")), &Default::default()).unwrap();
            let (mean, largest) = difference(&resize(&source, width, height, filter), &expected);
            assert!(mean < 0.5 && largest <= most, "{name} {width}x{height}: mean {mean}, largest {largest}");
        }
    }
}

#[test]
fn distorted_pixels_are_torchvisions() {
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(fixture("photometric.json")).unwrap()).unwrap();
    assert!(cases.len() >= 10);
    for (number, case) in cases.iter().enumerate() {
        let factor = |key: &str| case.get(key).and_then(Value::as_f64).map(|v| v as f32);
        let channels = |v: &Value| [0, 1, 2].map(|i| v[i].as_u64().unwrap() as usize);
        let distortion = Distortion {
            brightness: factor("brightness"),
            contrast: factor("contrast"),
            contrast_first: case.get("contrast_first").and_then(Value::as_bool).unwrap_or(false),
            saturation: factor("saturation"),
            hue: factor("hue"),
            permutation: case.get("permutation").map(channels),
        };
        let mut image = picture(32, 24);
        distortion.apply(&mut image);
        let expected = read_image(&fixture(&format!("photometric_{number}.png")), &Default::default()).unwrap();
        let (mean, largest) = difference(&image, &expected);
        // A sum that lands on a whole number may be cut to either side of it, in each of the steps.
        let steps = case.as_object().map_or(0, |c| c.keys().filter(|k| *k != "contrast_first").count());
        assert!(mean < 0.02 * steps as f64 && largest <= 2, "{case}: mean {mean}, largest {largest}");
    }
}

#[test]
fn shrinking_keeps_the_brightness() {
    let source = picture(640, 480);
    let mean = |image: &RgbImage| image.as_raw().iter().map(|v| f64::from(*v)).sum::<f64>() / image.as_raw().len() as f64;
    let small = resize(&source, 320, 240, Filter::Bilinear);
    assert!((mean(&small) - mean(&source)).abs() < 0.3, "{} {}", mean(&small), mean(&source));
}

#[test]
fn rand_augment_operations_are_pillows() {
    let fill = [124, 116, 104];
    let dim = || RgbImage::from_fn(32, 24, |x, y| Rgb(picture(32, 24).get_pixel(x, y).0.map(|v| v / 2 + 30)));
    type Change = Box<dyn Fn(&mut RgbImage)>;
    let by =
        |matrix: affine::Matrix, filter: Filter| -> Change { Box::new(move |i| *i = affine::transform(i, matrix, fill, filter)) };
    let moved = |matrix| by(matrix, Filter::Bilinear);
    let cases: Vec<(&str, Change)> = vec![
        (
            "auto_contrast",
            Box::new(move |i| {
                *i = dim();
                ops::auto_contrast(i);
            }),
        ),
        ("equalize", Box::new(ops::equalize)),
        ("invert", Box::new(ops::invert)),
        ("posterize", Box::new(|i| ops::posterize(i, 3))),
        ("solarize", Box::new(|i| ops::solarize(i, 200))),
        ("color", Box::new(|i| ops::color(i, 1.7))),
        ("contrast", Box::new(|i| ops::contrast(i, 1.7))),
        ("contrast_low", Box::new(|i| ops::contrast(i, 0.3))),
        ("brightness", Box::new(|i| ops::brightness(i, 1.7))),
        ("sharpness", Box::new(|i| ops::sharpness(i, 1.7))),
        ("rotate", moved(affine::rotate(27.0, [32.0, 24.0]))),
        ("rotate_bicubic", by(affine::rotate(27.0, [32.0, 24.0]), Filter::Bicubic)),
        ("shear_y_bicubic", by(affine::shear_y(-0.27), Filter::Bicubic)),
        ("shear_x", moved(affine::shear_x(0.27))),
        ("shear_y", moved(affine::shear_y(-0.27))),
        ("translate_x", moved(affine::translate(7.3, 0.0))),
        ("translate_y", moved(affine::translate(0.0, -5.6))),
    ];
    for (name, change) in cases {
        let mut image = picture(32, 24);
        change(&mut image);
        let expected = read_image(&fixture(&format!("op_{name}.png")), &Default::default()).unwrap();
        let (mean, largest) = difference(&image, &expected);
        assert!(mean < 0.05 && largest <= 2, "{name}: mean {mean}, largest {largest}");
    }
}
