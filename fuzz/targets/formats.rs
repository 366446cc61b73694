//! YOLO, Pascal VOC, CVAT and LabelMe: files of one name each, in a folder.

#![no_main]

use libfuzzer_sys::fuzz_target;
use repghost_coco::{Dataset, DatasetOptions, Place};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, text)) = bytes.split_first() else { return };
    let root = repghost_fuzz::folder().join("set");
    let _ = std::fs::remove_dir_all(&root);
    let write = |path: &str, bytes: &[u8]| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    let annotations = match kind % 5 {
        0 => {
            write("labels/a.txt", text);
            write("classes.txt", b"ant\nbee\n");
            root.join("labels")
        }
        1 => write("data.yaml", text),
        2 => {
            write("voc/a.xml", text);
            root.join("voc")
        }
        3 => write("annotations.xml", text),
        _ => {
            write("labelme/a.json", text);
            root.join("labelme")
        }
    };
    // A picture of 2 x 2 pixels, for the formats that give no sizes.
    const PICTURE: &[u8] = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    write("images/a.bmp", PICTURE);
    let images = root.join("images");
    let place = Place { annotations: &annotations, images: Some(&images), split: None };
    match Dataset::open(&place, &DatasetOptions::default()) {
        Ok((set, _)) => assert!(!set.is_empty()),
        Err(error) => repghost_fuzz::message(&error),
    }
});
