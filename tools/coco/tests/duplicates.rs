//! Shared images of two sets: equal files, re-encoded and resized copies, and pictures that only resemble each other.

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::{resize, FilterType};
use image::RgbImage;
use repghost_coco::duplicates::{shared_images, sheet, Images, Likeness};
use repghost_coco::{shapes, ClassList, Dataset, ImageRecord, LabelMode, SampleAnnotations};

/// A picture of the built-in generator.
fn picture(number: u64) -> RgbImage {
    shapes::generate(5, number, &shapes::ShapesConfig::default()).0
}

fn jpeg(image: &RgbImage, path: &Path, quality: u8) {
    JpegEncoder::new_with_quality(std::fs::File::create(path).unwrap(), quality).encode_image(image).unwrap();
}

fn dataset(names: &[&str]) -> Dataset {
    let image = |(id, name): (usize, &&str)| ImageRecord { id: id as i64, file_name: name.to_string(), height: 1, width: 1 };
    let samples = names.iter().enumerate().map(|n| SampleAnnotations { image: image(n), annotations: vec![] });
    Dataset::from_samples(samples.collect(), ClassList::new([(1, "a".to_string())], LabelMode::Contiguous).unwrap())
}

#[test]
fn copies_are_found_and_other_pictures_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    std::fs::create_dir_all(&a).unwrap();
    std::fs::create_dir_all(&b).unwrap();
    let train: Vec<String> = (0..12).map(|i| format!("{i}.png")).collect();
    for (i, name) in train.iter().enumerate() {
        picture(i as u64).save(a.join(name)).unwrap();
    }
    std::fs::copy(a.join("3.png"), b.join("same.png")).unwrap();
    jpeg(&picture(5), &b.join("recoded.jpg"), 60);
    let small = picture(7);
    jpeg(&resize(&small, small.width() / 2, small.height() / 2, FilterType::Triangle), &b.join("small.jpg"), 80);
    // Other pictures of the same generator, one uniform picture in each set, and a file that is no image.
    for i in 20..32 {
        picture(i).save(b.join(format!("{i}.png"))).unwrap();
    }
    RgbImage::from_pixel(90, 90, image::Rgb([80; 3])).save(a.join("gray.png")).unwrap();
    RgbImage::from_pixel(70, 70, image::Rgb([81; 3])).save(b.join("gray.png")).unwrap();
    std::fs::write(b.join("text.png"), "no image").unwrap();
    let mut first: Vec<&str> = train.iter().map(String::as_str).collect();
    first.push("gray.png");
    let others: Vec<String> = (20..32).map(|i| format!("{i}.png")).collect();
    let mut second = vec!["same.png", "recoded.jpg", "small.jpg", "gray.png", "text.png"];
    second.extend(others.iter().map(String::as_str));
    let (first, second) = (dataset(&first), dataset(&second));
    let found = shared_images(Images { dataset: &first, root: &a }, Images { dataset: &second, root: &b }, &|_, _| ());
    let pairs: Vec<(&str, &str)> = found.pairs.iter().map(|p| (p.first.as_str(), p.second.as_str())).collect();
    assert_eq!(pairs[0], ("3.png", "same.png"));
    let mut near = pairs[1..].to_vec();
    near.sort_unstable();
    assert_eq!(near, [("5.png", "recoded.jpg"), ("7.png", "small.jpg")], "{:?}", found.pairs);
    assert_eq!((found.pairs[0].likeness, found.equal()), (Likeness::ByteEqual, 1));
    assert!(found.unreadable.len() == 1 && found.unreadable[0].contains("text.png"), "{:?}", found.unreadable);
    // Three pairs of two tiles, four in a row.
    let drawn = sheet(&found.pairs, &a, &b, 10, 64).unwrap();
    assert_eq!(drawn.width(), 8 + 4 * (64 + 8));
}
