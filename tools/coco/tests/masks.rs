//! Outlines against pycocotools: `shared/data/edge_cases/annotations/edge_pycocotools_masks.json` has the area, the box and the
//! run lengths that pycocotools gives for every object of `edge.json`.

mod common;

use common::shared;
use repghost_coco::{Dataset, DatasetOptions, InstanceMask, MaskShape, OnBadAnnotation};
use serde_json::Value;

#[test]
fn outlines_become_the_masks_of_pycocotools() {
    let Some(folder) = shared("edge_cases/annotations") else { return };
    // One object has a polygon of two points, for which pycocotools itself raises.
    let options = DatasetOptions { on_bad_annotation: OnBadAnnotation::Drop, ..Default::default() };
    let set = Dataset::load(&folder.join("edge.json"), &options).unwrap();
    let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("edge_pycocotools_masks.json")).unwrap()).unwrap();
    let mut compared = 0;
    for (index, image) in set.images.iter().enumerate() {
        for object in set.annotations(index) {
            let wanted = expected.as_array().unwrap().iter().find(|entry| entry["id"] == object.id).unwrap();
            let Some(area) = wanted["mask_area"].as_u64() else {
                assert!(object.segmentation.is_none(), "object {}", object.id);
                continue;
            };
            let rle = object.segmentation.to_rle(image.height, image.width).unwrap().unwrap();
            assert_eq!(rle.area(), area, "area of object {}", object.id);
            assert_eq!(rle.to_packed(), wanted["rle"].as_str().unwrap(), "runs of object {}", object.id);
            let bbox: Vec<f64> = wanted["mask_bbox"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            assert_eq!(rle.bbox().to_vec(), bbox, "box of object {}", object.id);
            // Cropping and packing again loses nothing, whichever way the pixels were made.
            let crop = InstanceMask::from_rle(&rle);
            assert_eq!(crop.area(), area);
            assert_eq!(crop.to_rle(image.height, image.width), rle);
            assert_eq!(MaskShape::new(&object.segmentation).unwrap().rasterise(image.height, image.width), crop);
            compared += 1;
        }
    }
    assert_eq!(compared, 25);
}
