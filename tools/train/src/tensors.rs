//! Batches from plain memory to tensors.

use repghost_coco::{Batch, Normalize, Pixels, SampleTarget};
use repghost_heads::{CroppedMask, ImageBatch, Target};
use repghost_kernels::cuda::normalize::{self, Norm};
use repghost_kernels::device::to_device;
use tch::{Device, Kind, Tensor};

use crate::error::TrainError;
use crate::upload::DeviceBatch;

/// The images of a batch: one copy of the pixels.
pub fn images(batch: &Batch, device: Device) -> ImageBatch {
    let host = match &batch.pixels {
        Pixels::Normalized(values) => Tensor::from_slice(values),
        Pixels::Bytes { values, .. } => Tensor::from_slice(values),
    };
    on_device(batch, upload(&host.view(batch.layout().map(|d| d as i64)), device))
}

/// The images of a batch whose pixels may be on the device already.
///
/// # Errors
/// When libtorch fails.
pub(crate) fn device_images(batch: &DeviceBatch, device: Device) -> Result<ImageBatch, TrainError> {
    match &batch.pixels {
        Some(pixels) => Ok(on_device(&batch.batch, pixels.tensor()?)),
        None => Ok(images(&batch.batch, device)),
    }
}

/// The images of a batch whose pixels, or bytes, are on a device.
fn on_device(batch: &Batch, pixels: Tensor) -> ImageBatch {
    match &batch.pixels {
        Pixels::Normalized(_) => with_sizes(batch, pixels),
        Pixels::Bytes { normalize, .. } => {
            let ImageBatch { pixels, sizes } = with_sizes(batch, pixels.permute([0, 3, 1, 2]));
            ImageBatch { pixels: normalized(&pixels, &sizes, normalize), sizes }
        }
    }
}

/// Bytes `[N, 3, H, W]` as the loader normalises them, to the bit; zero beside images of `sizes` (height, width).
fn normalized(bytes: &Tensor, sizes: &[[i64; 2]], normalize: &Normalize) -> Tensor {
    let (scale, offset) = normalize.scale_and_offset();
    if let Some(out) = normalize::normalize(bytes, sizes, Norm { scale, offset }, Kind::Float, false) {
        return out;
    }
    // The kernel's place where there is none.
    let device = bytes.device();
    let factors = upload(&Tensor::from_slice(&[scale, offset].concat()).view([2, 1, 3, 1, 1]), device);
    let all = (bytes.to_kind(Kind::Float) * factors.get(0) + factors.get(1)).contiguous();
    let [height, width] = [2, 3].map(|axis| bytes.size()[axis]);
    if sizes.iter().all(|size| *size == [height, width]) {
        return all;
    }
    let sizes = upload(&Tensor::from_slice(sizes.as_flattened()).view([-1, 2, 1, 1, 1]), device);
    let inside = |axis: i64, side: i64, shape: [i64; 4]| {
        Tensor::arange(side, (Kind::Int64, device)).view(shape).lt_tensor(&sizes.select(1, axis))
    };
    let inside = inside(0, height, [1, 1, height, 1]).logical_and(&inside(1, width, [1, 1, 1, width]));
    all.where_scalarother(&inside, 0.0)
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
                pixels: batch.pixels.of(from..to, pixels),
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
        pixels: batch.pixels.of(order(), length),
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
    use repghost_coco::RgbImage;

    #[test]
    fn shares_are_even_and_in_order() {
        let target = |id: i64| SampleTarget { image_id: id, ..Default::default() };
        let batch = || Batch {
            index: 7,
            pixels: Pixels::Normalized((0..5 * 12).map(|v| v as f32).collect()),
            shape: [5, 3, 2, 2],
            sizes: (0..5).map(|i| [i, 2]).collect(),
            targets: (0..5).map(target).collect(),
            placeholder: false,
        };
        let shares = split(batch(), 2);
        assert_eq!(shares.iter().map(|s| s.shape).collect::<Vec<_>>(), [[2, 3, 2, 2], [3, 3, 2, 2]]);
        let values = |b: &Batch| b.pixels.normalized().unwrap().to_vec();
        assert_eq!(shares.iter().flat_map(values).collect::<Vec<_>>(), values(&batch()));
        assert_eq!(shares.iter().flat_map(|s| s.sizes.clone()).collect::<Vec<_>>(), batch().sizes);
        let ids: Vec<i64> = shares.iter().flat_map(|s| s.targets.iter().map(|t| t.image_id)).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4]);
        assert_eq!(split(batch(), 9).len(), 5, "no share is empty");
        let twice = repeated(&batch(), 7);
        assert_eq!((twice.shape, twice.sizes.len(), twice.targets[6].image_id), ([7, 3, 2, 2], 7, 1));
        assert_eq!(values(&twice)[60..], values(&batch())[..24]);
    }

    /// Bytes that a device normalises give what the loader's own normalisation gives, and zeros in the padding.
    #[test]
    fn bytes_become_the_loaders_numbers() {
        let normalize = Normalize::default();
        let image = |w, h| RgbImage::from_fn(w, h, |x, y| image::Rgb([x as u8 * 40, y as u8 * 50, 255 - x as u8]));
        for pictures in [[image(5, 4), image(3, 2)], [image(5, 4), image(5, 4)]] {
            let (mut floats, mut values) = (vec![0.0; 2 * 60], vec![0; 2 * 60]);
            for (i, picture) in pictures.iter().enumerate() {
                normalize.write(picture, &mut floats[i * 60..][..60], 4, 5);
                for (x, y, pixel) in picture.enumerate_pixels() {
                    let at = i * 60 + (y * 5 + x) as usize * 3;
                    values[at..at + 3].copy_from_slice(&pixel.0);
                }
            }
            let sizes = pictures.iter().map(|p| [p.height() as usize, p.width() as usize]).collect();
            let (targets, shape) = (vec![SampleTarget::default(); 2], [2, 3, 4, 5]);
            let pixels = Pixels::Bytes { values, normalize };
            let batch = Batch { index: 0, pixels, shape, sizes, targets, placeholder: false };
            let found = Vec::<f32>::try_from(images(&batch, Device::Cpu).pixels.reshape([-1])).unwrap();
            assert_eq!(found, floats);
        }
    }
}
