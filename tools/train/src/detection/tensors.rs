//! Batches from plain memory to tensors.

use repghost_coco::{Batch, SampleTarget};
use repghost_heads::{CroppedMask, ImageBatch, Target};
use tch::{Device, Tensor};

/// The images of a batch: one copy of the pixels.
pub fn images(batch: &Batch, device: Device) -> ImageBatch {
    let shape = batch.shape.map(|d| d as i64);
    ImageBatch {
        pixels: Tensor::from_slice(&batch.pixels).view(shape).to_device(device),
        sizes: batch.sizes.iter().map(|s| s.map(|d| d as i64)).collect(),
    }
}

/// The objects of each image.
pub fn targets(batch: &Batch, device: Device) -> Vec<Target> {
    batch.targets.iter().map(|t| target(t, device)).collect()
}

fn target(t: &SampleTarget, device: Device) -> Target {
    let plain = Target::new(&t.boxes, &t.labels);
    let masks = t.masks.as_ref().map(|masks| {
        let crop = |m: &repghost_coco::InstanceMask| CroppedMask {
            origin: m.origin.map(i64::from),
            bits: Tensor::from_slice(&m.bits).view([m.size[0] as i64, m.size[1] as i64]).to_device(device),
        };
        masks.iter().map(crop).collect()
    });
    Target { boxes: plain.boxes.to_device(device), labels: plain.labels.to_device(device), masks }
}
