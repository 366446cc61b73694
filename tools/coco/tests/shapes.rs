//! The built-in data: the same bytes everywhere, honest, readable as COCO.

use std::collections::BTreeMap;

use repghost_coco::shapes::{self, ShapesConfig};
use repghost_coco::{Dataset, DatasetOptions, InstanceMask, Segmentation};
use repghost_config::Check;

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn the_same_bytes_on_every_machine() {
    // Written down once: whoever changes what is drawn changes the numbers of every demo run and must change these too.
    let config = ShapesConfig::default();
    let hashes: Vec<u64> = (0..3).map(|index| hash(shapes::generate(7, index, &config).0.as_raw())).collect();
    assert_eq!(hashes, PINNED);
    assert_ne!(hash(shapes::generate(8, 0, &config).0.as_raw()), hashes[0]);
}

const PINNED: [u64; 3] = [9748069509470279156, 12445395126642030578, 11113182947477053145];

#[test]
fn boxes_fit_what_can_be_seen() {
    let config = ShapesConfig { size: [200, 320], ..Default::default() };
    let (mut labels, mut empty, mut overlaps, mut small) = (BTreeMap::new(), 0, 0, 0);
    for index in 0..200 {
        let (image, sample) = shapes::generate(3, index, &config);
        assert_eq!((image.height(), image.width()), (200, 320));
        assert!(sample.annotations.len() <= config.max_objects as usize);
        empty += usize::from(sample.annotations.is_empty());
        let mut taken = vec![false; 200 * 320];
        for object in &sample.annotations {
            let Segmentation::Rle(rle) = &object.segmentation else { panic!("no mask") };
            assert_eq!(rle.bbox(), object.bbox);
            assert_eq!(rle.area() as f64, object.area);
            assert!(object.area > 0.0);
            *labels.entry(object.label).or_insert(0) += 1;
            small += usize::from(object.bbox[2] < 32.0 && object.bbox[3] < 32.0);
            overlaps +=
                usize::from(sample.annotations.iter().any(|other| other.id != object.id && overlap(other.bbox, object.bbox)));
            // No pixel belongs to two objects.
            let mask = InstanceMask::from_rle(rle);
            for (i, _) in mask.bits.iter().enumerate().filter(|(_, &bit)| bit == 1) {
                let (y, x) = (i / mask.size[1] + mask.origin[1] as usize, i % mask.size[1] + mask.origin[0] as usize);
                assert!(!std::mem::replace(&mut taken[y * 320 + x], true));
            }
        }
    }
    assert_eq!(labels.keys().copied().collect::<Vec<i64>>(), [0, 1, 2, 3, 4]);
    assert!(labels.values().all(|&count| count > 80), "{labels:?}");
    assert!((2..40).contains(&empty), "{empty} empty");
    assert!(overlaps > 100, "{overlaps} of the boxes overlap");
    assert!(small > 100, "{small} small");
}

fn overlap(a: [f64; 4], b: [f64; 4]) -> bool {
    a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3]
}

#[test]
fn written_sets_are_coco() {
    let folder = tempfile::tempdir().unwrap();
    let config = ShapesConfig { size: [96, 128], ..Default::default() };
    let written = shapes::write_set(folder.path(), "val", 5, 100, 12, &config).unwrap();
    let set = Dataset::load(&written.annotations, &DatasetOptions::default()).unwrap();
    let memory = shapes::dataset(5, 100, 12, &config);
    assert_eq!((set.len(), &set.images), (12, &memory.images));
    assert_eq!(set.classes, memory.classes);
    for index in 0..12 {
        assert_eq!(set.annotations(index), memory.annotations(index));
        let file = image::open(written.images.join(&set.images[index].file_name)).unwrap().into_rgb8();
        assert_eq!(file, shapes::generate(5, 100 + index as u64, &config).0);
    }
    assert_eq!(written.object_count, (0..12).map(|i| set.annotations(i).len()).sum::<usize>());
}

#[test]
fn odd_configurations_are_named() {
    let odd = ShapesConfig { size: [8, 256], max_objects: 0, ..Default::default() };
    assert_eq!(
        odd.check("picture").unwrap_err().to_string(),
        "picture.size.0: found 8, expected a whole number from 64 to 4096; \
         picture.max_objects: found 0, expected a whole number from 1 to 100"
    );
    assert!(ShapesConfig::default().check("picture").is_ok());
}
