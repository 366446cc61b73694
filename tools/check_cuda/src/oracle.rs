//! The kernels against torchvision's, on the same card. `oracle.py` writes torchvision's inputs and outputs, this compares.

use std::path::Path;

use anyhow::{Context, Result};
use repghost_kernels::cuda::roi_align::{Region, Sampling};
use repghost_kernels::cuda::{focal, matcher, nms, roi_align};
use tch::{Device, Kind, Tensor};

use crate::fixtures::read;
use crate::report::{differing, relative, worst, Row};

/// Limit of sums in single precision, in another order and with contraction.
const LIMIT: f64 = 1e-4;

/// Compares with the file that `oracle.py` wrote.
///
/// # Errors
/// A file that can't be read.
pub fn compare(file: &Path, device: Device) -> Result<Vec<Row>> {
    let bytes = std::fs::read(file).with_context(|| format!("{} can't be read: run oracle.py first", file.display()))?;
    let numbers = read(&bytes)?;
    let get = |name: &str| numbers.get(name).with_context(|| format!("{} has no '{name}'", file.display()));
    let count = |prefix: &str| (0..).take_while(|i| numbers.contains_key(&format!("{prefix}.{i}.want"))).count();

    let mut rois = Vec::new();
    for i in 0..count("roi_align") {
        let of = |name: &str| get(&format!("roi_align.{i}.{name}"));
        let settings = Vec::<i64>::try_from(of("settings")?)?;
        let sampling = Sampling { bins: settings[0] as i32, ratio: settings[1] as i32, aligned: settings[2] as i32 };
        let map = of("map")?.to_device(device).set_requires_grad(true);
        let table = Vec::<f32>::try_from(of("rois")?.reshape([-1]))?;
        let regions: Vec<Region> =
            table.chunks(5).map(|r| Region { level: 0, image: r[0] as usize, bbox: [r[1], r[2], r[3], r[4]] }).collect();
        let pooled = roi_align::pool(&[&map], &[0.25], &regions, sampling).context("RoIAlign did not run")?;
        rois.push(Row::new(format!("{sampling:?}"), relative(&pooled, of("want")?), LIMIT));
        (&pooled * of("incoming")?.to_device(device)).sum(Kind::Float).backward();
        rois.push(Row::new(format!("{sampling:?} gradient"), relative(&map.grad(), of("gradient")?), LIMIT));
    }
    let mut losses = Vec::new();
    for i in 0..count("focal") {
        let of = |name: &str| get(&format!("focal.{i}.{name}"));
        let logits = of("logits")?.to_device(device).set_requires_grad(true);
        let scales = Tensor::ones([logits.size()[0]], (Kind::Float, device));
        let classes = of("classes")?.to_kind(Kind::Int).to_device(device);
        let settings = focal::Focal { alpha: 0.25, gamma: 2.0 };
        let loss = focal::loss(&logits, &classes, &scales, settings).context("the focal loss did not run")?;
        losses.push(Row::new(format!("loss {i}"), relative(&loss, &of("want")?.reshape([0i64; 0])), LIMIT));
        loss.backward();
        losses.push(Row::new(format!("gradient {i}"), relative(&logits.grad(), of("gradient")?), LIMIT));
    }
    let mut kept = Vec::new();
    for i in 0..count("nms") {
        let of = |name: &str| get(&format!("nms.{i}.{name}"));
        let boxes = of("boxes")?.to_device(device);
        let got = nms::keep(&boxes, None, &[boxes.size()[0] as usize], 0.5, usize::MAX).context("NMS did not run")?;
        kept.push(Row::new(format!("case {i}"), differing(&got, of("want")?), 0.0));
    }
    let mut matches = Vec::new();
    for i in 0..count("matcher") {
        let of = |name: &str| get(&format!("matcher.{i}.{name}"));
        let boxes = Vec::<f32>::try_from(of("objects")?.reshape([-1]))?;
        let objects: Vec<[f32; 4]> = boxes.chunks(4).map(|b| [b[0], b[1], b[2], b[3]]).collect();
        let rule = matcher::Rule { high: 0.5, low: 0.4, low_quality: true };
        let objects = matcher::Objects::upload(&[objects], device);
        let got = matcher::assign(&of("anchors")?.to_device(device), &objects, rule).context("the matcher did not run")?;
        // IoUs that torchvision's arithmetic rounds to the other side of a threshold.
        let share = differing(&got.reshape([-1]), of("want")?) / got.numel() as f64;
        matches.push(Row::new(format!("case {i}, share that differs"), share, 1e-4));
    }
    Ok(vec![worst("roi_align", rois), worst("focal_loss", losses), worst("nms", kept), worst("matcher", matches)])
}
