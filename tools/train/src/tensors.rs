//! Batches from plain memory to tensors.

use repghost_coco::{Batch, SampleTarget};
use repghost_heads::{CroppedMask, ImageBatch, Target};
use repghost_kernels::device::to_device;
use tch::{Device, Tensor};

use crate::error::TrainError;
use crate::upload::DeviceBatch;

/// The images of a batch: one copy of the pixels.
pub fn images(batch: &Batch, device: Device) -> ImageBatch {
    let shape = batch.shape.map(|d| d as i64);
    with_sizes(batch, upload(&Tensor::from_slice(&batch.pixels).view(shape), device))
}

/// The images of a batch whose pixels may be on the device already.
///
/// # Errors
/// When libtorch fails.
pub(crate) fn device_images(batch: &DeviceBatch, device: Device) -> Result<ImageBatch, TrainError> {
    match &batch.pixels {
        Some(pixels) => Ok(with_sizes(&batch.batch, pixels.tensor()?)),
        None => Ok(images(&batch.batch, device)),
    }
}

fn with_sizes(batch: &Batch, pixels: Tensor) -> ImageBatch {
    ImageBatch { pixels, sizes: batch.sizes.iter().map(|s| s.map(|d| d as i64)).collect() }
}

/// A tensor of the host on a device. A card is not waited for.
pub fn upload(host: &Tensor, device: Device) -> Tensor {
    // Without pinned memory the copy waits, and is as good.
    to_device(host, device).unwrap_or_else(|_| host.to_device(device))
}

/// Cuts a batch into at most `parts` batches of nearly the same number of images, in order.
pub fn split(batch: Batch, parts: usize) -> Vec<Batch> {
    let [images, rest @ ..] = batch.shape;
    let parts = parts.clamp(1, images.max(1));
    let pixels = rest.iter().product::<usize>();
    let (mut sizes, mut targets) = (batch.sizes.into_iter(), batch.targets.into_iter());
    (0..parts)
        .map(|part| {
            let (from, to) = (images * part / parts, images * (part + 1) / parts);
            Batch {
                index: batch.index,
                pixels: batch.pixels[from * pixels..to * pixels].to_vec(),
                shape: [to - from, rest[0], rest[1], rest[2]],
                sizes: sizes.by_ref().take(to - from).collect(),
                targets: targets.by_ref().take(to - from).collect(),
                placeholder: batch.placeholder,
            }
        })
        .collect()
}

/// A batch of `images` images: those of `batch`, again and again.
pub fn repeated(batch: &Batch, images: usize) -> Batch {
    let [n, rest @ ..] = batch.shape;
    let length = rest.iter().product::<usize>();
    let order = || (0..images).map(|i| i % n.max(1));
    Batch {
        index: batch.index,
        pixels: order().flat_map(|i| batch.pixels[i * length..(i + 1) * length].iter().copied()).collect(),
        shape: [images, rest[0], rest[1], rest[2]],
        sizes: order().map(|i| batch.sizes[i]).collect(),
        targets: order().map(|i| batch.targets[i].clone()).collect(),
        placeholder: batch.placeholder,
    }
}

/// The objects of each image. They stay in main memory, where they are matched to anchors.
pub fn targets(batch: &Batch) -> Vec<Target> {
    batch.targets.iter().map(target).collect()
}

fn target(t: &SampleTarget) -> Target {
    let crop =
        |m: &repghost_coco::InstanceMask| CroppedMask { origin: m.origin.map(i64::from), size: m.size, bits: m.bits.clone() };
    let masks = t.masks.as_ref().map(|masks| masks.iter().map(crop).collect());
    Target { masks, ..Target::new(&t.boxes, &t.labels) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_in_order() {
        let target = |id: i64| SampleTarget { image_id: id, ..Default::default() };
        let batch = || Batch {
            index: 7,
            pixels: (0..5 * 12).map(|v| v as f32).collect(),
            shape: [5, 3, 2, 2],
            sizes: (0..5).map(|i| [i, 2]).collect(),
            targets: (0..5).map(target).collect(),
            placeholder: false,
        };
        let shares = split(batch(), 2);
        assert_eq!(shares.iter().map(|s| s.shape).collect::<Vec<_>>(), [[2, 3, 2, 2], [3, 3, 2, 2]]);
        assert_eq!(shares.iter().flat_map(|s| s.pixels.clone()).collect::<Vec<_>>(), batch().pixels);
        assert_eq!(shares.iter().flat_map(|s| s.sizes.clone()).collect::<Vec<_>>(), batch().sizes);
        let ids: Vec<i64> = shares.iter().flat_map(|s| s.targets.iter().map(|t| t.image_id)).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4]);
        assert_eq!(split(batch(), 9).len(), 5, "no share is empty");
        let twice = repeated(&batch(), 7);
        assert_eq!((twice.shape, twice.sizes.len(), twice.targets[6].image_id), ([7, 3, 2, 2], 7, 1));
        assert_eq!(twice.pixels[60..], batch().pixels[..24]);
    }
}
