//! Small images, shown larger: lines and labels would cover them otherwise.

use image::imageops::{resize, FilterType};
use image::RgbImage;

use super::DrawnObject;
use crate::types::InstanceMask;

/// The largest whole factor at which an image fits into `side` pixels; at least 1.
pub fn enlargement(image: &RgbImage, side: u32) -> u32 {
    (side / image.width().max(image.height()).max(1)).max(1)
}

/// The image at `factor` times its size.
pub fn enlarge_image(image: &RgbImage, factor: u32) -> RgbImage {
    match factor {
        0 | 1 => image.clone(),
        _ => resize(image, image.width() * factor, image.height() * factor, FilterType::CatmullRom),
    }
}

/// The same objects on an image that was enlarged.
pub fn enlarge_objects(objects: &mut [DrawnObject], factor: u32) {
    for object in objects.iter_mut().filter(|_| factor > 1) {
        object.bbox = object.bbox.map(|v| v * factor as f32);
        if let Some(mask) = &mut object.mask {
            *mask = enlarge_mask(mask, factor as usize);
        }
    }
}

fn enlarge_mask(mask: &InstanceMask, factor: usize) -> InstanceMask {
    let [rows, columns] = mask.size;
    let wide = |row: usize| {
        let row = mask.bits.iter().skip(row * columns).take(columns);
        row.flat_map(move |&bit| std::iter::repeat_n(bit, factor))
    };
    InstanceMask {
        origin: mask.origin.map(|v| v * factor as i32),
        size: [rows * factor, columns * factor],
        bits: (0..rows * factor).flat_map(|row| wide(row / factor)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_and_masks_grow_with_the_image() {
        let image = RgbImage::new(30, 20);
        assert_eq!(enlargement(&image, 100), 3);
        assert_eq!(enlargement(&image, 10), 1, "never smaller");
        assert_eq!(enlarge_image(&image, 3).dimensions(), (90, 60));
        let mask = InstanceMask { origin: [1, 2], size: [1, 2], bits: vec![1, 0] };
        let mut objects = [DrawnObject { bbox: [1.0, 2.0, 3.0, 3.0], text: String::new(), colour: [0; 3], mask: Some(mask) }];
        enlarge_objects(&mut objects, 2);
        assert_eq!(objects[0].bbox, [2.0, 4.0, 6.0, 6.0]);
        let expected = InstanceMask { origin: [2, 4], size: [2, 4], bits: vec![1, 1, 0, 0, 1, 1, 0, 0] };
        assert_eq!(objects[0].mask, Some(expected));
    }
}
