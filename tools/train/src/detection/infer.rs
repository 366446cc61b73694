//! From what a detector finds in a resized image to detections in pixels of the original one.

use repghost_coco::{Detection, Rle, SampleTarget};
use repghost_heads::rcnn::paste::paste_all;
use repghost_heads::HostDetections;

use crate::model::Class;

/// Detections in one image.
#[derive(Clone, Debug)]
pub struct ImageDetections {
    /// The image.
    pub image_id: i64,
    /// Its file name.
    pub file_name: String,
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// Detections, best first.
    pub objects: Vec<Detection>,
}

/// Detections in pixels of the original image, from those in an image of `size` (height, width).
pub fn in_original_pixels(d: &HostDetections, size: [usize; 2], image: &SampleTarget, classes: &[Class]) -> ImageDetections {
    // Torchvision's rule: each axis has a factor of its own, since the resized sides are rounded.
    let [fy, fx] = [0, 1].map(|axis| image.original_size[axis] as f64 / size[axis].max(1) as f64);
    let detection = |((b, score), label): ((&[f32; 4], &f32), &i64)| {
        let [x1, y1, x2, y2] = b.map(f64::from);
        Detection {
            image_id: image.image_id,
            file_name: None,
            category_id: usize::try_from(*label).ok().and_then(|l| classes.get(l)).map_or(*label, |c| c.id),
            bbox: Some([x1 * fx, y1 * fy, (x2 - x1) * fx, (y2 - y1) * fy]),
            score: f64::from(*score),
            segmentation: None,
        }
    };
    let mut detections: Vec<Detection> = d.boxes.iter().zip(&d.scores).zip(&d.labels).map(detection).collect();
    if let Some(masks) = d.masks.as_ref().filter(|_| !detections.is_empty()) {
        let side = (masks.len() / detections.len()).isqrt();
        let corners: Vec<[f32; 4]> = detections
            .iter()
            .map(|d| d.bbox.unwrap_or_default())
            .map(|[x, y, w, h]| [x as f32, y as f32, (x + w) as f32, (y + h) as f32])
            .collect();
        let pasted = paste_all(masks, side, &corners, image.original_size);
        for (detection, mask) in detections.iter_mut().zip(pasted) {
            detection.segmentation = Some(Rle { size: mask.size.map(|v| v as u32), counts: mask.counts });
        }
    }
    ImageDetections {
        image_id: image.image_id,
        file_name: image.file_name.clone(),
        size: image.original_size,
        objects: detections,
    }
}
