//! The device of a check, and detectors and batches that need no files.

use anyhow::{bail, Result};
use repghost_backbone::synthetic::{fill_with_gain, input, uniform, DEEP_GAIN};
use repghost_backbone::{BackboneConfig, Role, Tree};
use repghost_heads::{CroppedMask, Detector, FpnConfig, HeadConfig, ImageBatch, Target};
use repghost_kernels::device::Choice;
use tch::{Device, Tensor};

/// The device named `name` (`cpu`, `cuda`, `cuda:1`). Opens libtorch's CUDA half where a card is meant.
///
/// # Errors
/// A name that is no device, or a card that can't be used.
pub fn device(name: &str) -> Result<Device> {
    let choice: Choice = match name.parse() {
        Ok(choice) => choice,
        Err(text) => bail!("{text}"),
    };
    Ok(choice.resolve()?.device)
}

/// The heads that checks know.
pub const HEADS: [&str; 2] = ["retinanet", "mask_rcnn"];

/// A head of [`HEADS`] with its defaults.
///
/// # Errors
/// Another name.
pub fn head(name: &str) -> Result<HeadConfig> {
    match HeadConfig::named(name) {
        Some(head) => Ok(head),
        None => bail!("there is no head '{name}': expected {}", HEADS.join(" or ")),
    }
}

/// A detector on RepGhostNet `width` with a pyramid of `channels`, on the CPU. `by_rule` gives weights that depend on their names alone;
/// otherwise they are those of a fresh start.
///
/// # Errors
/// Settings that make no detector.
pub fn detector(name: &str, width: f64, channels: i64, classes: i64, by_rule: bool) -> Result<Detector> {
    tch::manual_seed(0);
    let body = BackboneConfig { width, ..BackboneConfig::default() }.build_features()?;
    let detector = head(name)?.build(body, &FpnConfig { channels, ..FpnConfig::default() }, classes)?;
    if by_rule {
        fill_with_gain(&detector, "", DEEP_GAIN);
    }
    Ok(detector)
}

/// Its trained tensors.
pub fn parameters(detector: &Detector) -> Vec<(String, Tensor)> {
    let entries = detector.named_tensors().into_iter();
    entries.filter(|e| e.role == Role::Parameter && e.tensor.requires_grad()).map(|e| (e.name, e.tensor)).collect()
}

/// `count` images of `size` (height, width), pixels by rule.
pub fn images(name: &str, count: usize, size: [i64; 2], device: Device) -> ImageBatch {
    let pixels = input(name, &[count as i64, 3, size[0], size[1]]).to_device(device);
    ImageBatch { pixels, sizes: vec![size; count] }
}

/// `objects` boxes of up to three tenths of an image, filled by their masks.
pub fn target(name: &str, objects: usize, size: [i64; 2], classes: i64, with_masks: bool) -> Target {
    let u = uniform(name, objects * 5);
    let (height, width) = (size[0] as f32, size[1] as f32);
    let boxes: Vec<[f32; 4]> = u
        .chunks(5)
        .map(|u| {
            let v: Vec<f32> = u.iter().map(|x| (x + 1.0) / 2.0).collect();
            let (x, y) = (v[0] * width * 0.6, v[1] * height * 0.6);
            [x, y, x + v[2] * width * 0.3 + 8.0, y + v[3] * height * 0.3 + 8.0]
        })
        .collect();
    let labels: Vec<i64> = u.chunks(5).map(|u| (((u[4] + 1.0) / 2.0 * classes as f32) as i64).min(classes - 1)).collect();
    let mask = |b: &[f32; 4]| {
        let [x1, y1, x2, y2] = b.map(|v| v as i64);
        let size = [(y2 - y1) as usize, (x2 - x1) as usize];
        CroppedMask { origin: [x1, y1], size, bits: vec![1; size[0] * size[1]] }
    };
    let masks = with_masks.then(|| boxes.iter().map(mask).collect());
    Target { masks, ..Target::new(&boxes, &labels) }
}
