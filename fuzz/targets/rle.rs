//! Run-length masks and polygons: packing and unpacking are inverse, and areas and boxes are those of the pixels, counted one by one.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use repghost_coco::annotations::{Rle, Segmentation};
use repghost_coco::types::InstanceMask;
use repghost_coco::MaskShape;

#[derive(Arbitrary, Debug)]
enum Input {
    Packed(u8, u8, String),
    Counts(u8, u8, Vec<u16>),
    Polygons(u8, u8, Vec<Vec<i16>>),
    /// Sizes as files claim them.
    Large(u32, u32, Vec<u32>),
}

fn pixels(rle: &Rle) -> Vec<bool> {
    rle.counts.iter().enumerate().flat_map(|(i, run)| std::iter::repeat_n(i % 2 == 1, *run as usize)).collect()
}

fn judge(rle: &Rle) {
    let [height, width] = rle.size.map(|side| side as usize);
    let bits = pixels(rle);
    assert_eq!(bits.len(), height * width);
    assert_eq!(rle.area(), bits.iter().filter(|bit| **bit).count() as u64);
    let packed = rle.to_packed();
    let again = Rle::from_packed(rle.size, &packed).expect("what was packed is unpacked");
    assert_eq!(pixels(&again), bits);
    assert_eq!(again.to_packed(), packed);
    let set: Vec<(usize, usize)> = bits.iter().enumerate().filter(|(_, bit)| **bit).map(|(i, _)| (i / height, i % height)).collect();
    let bound = |f: fn(&(usize, usize)) -> usize| (set.iter().map(f).min(), set.iter().map(f).max());
    if let ((Some(left), Some(right)), (Some(top), Some(bottom))) = (bound(|p| p.0), bound(|p| p.1)) {
        let expected = [left, top, right + 1 - left, bottom + 1 - top].map(|v| v as f64);
        assert_eq!(rle.bbox(), expected);
    }
    let mask = InstanceMask::from_rle(rle);
    assert_eq!(mask.area() as u64, rle.area());
    assert_eq!(pixels(&mask.to_rle(rle.size[0], rle.size[1])), bits);
}

fuzz_target!(|input: Input| {
    let side = |v: u8| u32::from(v % 64) + 1;
    match input {
        Input::Packed(h, w, text) => {
            if let Ok(rle) = Rle::from_packed([side(h), side(w)], &text) {
                judge(&rle);
            }
        }
        Input::Counts(h, w, counts) => {
            if let Ok(rle) = Rle::from_counts([side(h), side(w)], counts.into_iter().map(u32::from).collect()) {
                judge(&rle);
            }
        }
        Input::Polygons(h, w, polygons) => {
            // Quarters of pixels, around the image and in it.
            let polygons = polygons.into_iter().take(4).map(|p| p.into_iter().take(64).map(|v| f64::from(v) / 4.0).collect());
            let good = |p: &Vec<f64>| p.len() >= 6 && p.len() % 2 == 0;
            let polygons: Vec<Vec<f64>> = polygons.filter(good).collect();
            let (height, width) = (side(h), side(w));
            let shape = Segmentation::Polygons(polygons);
            if let Ok(Some(rle)) = shape.to_rle(height, width) {
                judge(&rle);
                if let Some(shape) = MaskShape::new(&shape) {
                    assert_eq!(shape.rasterise(height, width).area() as u64, rle.area());
                }
            }
        }
        Input::Large(h, w, counts) => {
            if let Ok(rle) = Rle::from_counts([h, w], counts) {
                let _ = (rle.area(), rle.bbox(), rle.to_packed());
            }
        }
    }
});
